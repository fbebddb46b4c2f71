"""Algorithms 1 and 2 of Cold Diffusion, by the identities that hold for them."""

from itertools import pairwise
from typing import get_args

import pytest
import torch
from theory_support import random_images, restorer_of, step
from torch import Tensor

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.line_average import Axis, LineAverage, Order
from thaw.diffusion.samplers.cold import Cold, Naive

SHAPE = (2, 6, 12)


class Shift(Degradation):
    """D(x, s) = x + s e, the linear degradation of Bansal et al. 2022, section 3.3."""

    num_steps = 9

    def __init__(self, e: Tensor) -> None:
        super().__init__()
        self.e = e

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return x_0 + t.view(-1, 1, 1, 1) * self.e


every_average = pytest.mark.parametrize(
    "degradation",
    [
        pytest.param(LineAverage(SHAPE, axis, order, size), id=f"{axis}-{order}-{size}")
        for axis in get_args(Axis)
        for order in get_args(Order)
        for size in (1, 3)
    ],
)


def all_the_way(degradation: Degradation, x_0: Tensor) -> tuple[Tensor, Tensor]:
    noise = degradation.draw_noise(x_0)
    return degradation(x_0, torch.full((len(x_0),), degradation.num_steps), noise), noise


def wrong(x_t: Tensor, t: Tensor) -> Tensor:
    """A restorer that is far off, differently for each image, step and pixel."""
    pixels = torch.arange(x_t[0].numel()).view_as(x_t[0])
    return 0.4 * (7 * x_t + t.view(-1, 1, 1, 1) + pixels).sin()


@every_average
def test_algorithm_2_writes_each_line_once_and_keeps_the_means(degradation: LineAverage) -> None:
    x_T, noise = all_the_way(degradation, random_images(2, *SHAPE))
    states = list(Cold().trajectory(restorer_of(wrong, degradation), x_T, noise))
    order = degradation.step_of_line.argsort()
    for before, after in pairwise(states):
        means, _ = all_the_way(degradation, after.x_t)
        torch.testing.assert_close(means, x_T, rtol=0, atol=1e-13)
        change = (after.x_t - before.x_t).abs()
        lines = change.unflatten(degradation.line_dim, (-1, degradation.group_size))
        per_line = lines.transpose(0, degradation.line_dim).flatten(1).amax(1)
        # The t-th line of the order is the one that D(., t) averages and D(., t - 1) does not.
        assert (per_line > 1e-12).nonzero().flatten().tolist() == [order[before.t - 1].item()]


@every_average
@pytest.mark.parametrize("num_steps", [None, 2])
def test_algorithm_2_is_algorithm_1_on_the_data_consistent_restorer(
    degradation: LineAverage, num_steps: int | None
) -> None:
    """R'(z) = R(z) - D(R(z), t) + z, for z degraded by t steps: because D_s D_t = D_max(s, t)."""

    def consistent(z: Tensor, t: Tensor) -> Tensor:
        return wrong(z, t) - degradation(wrong(z, t), t, noise) + z

    x_T, noise = all_the_way(degradation, random_images(2, *SHAPE))
    cold = Cold(num_steps, clip=False).trajectory(restorer_of(wrong, degradation), x_T, noise)
    naive = Naive(num_steps, clip=False).trajectory(
        restorer_of(consistent, degradation), x_T, noise
    )
    for one, other in zip(cold, naive, strict=True):
        assert one.t == other.t
        torch.testing.assert_close(one.x_t, other.x_t, rtol=0, atol=1e-12)


@pytest.mark.parametrize("num_steps", [None, 1, 4])
def test_algorithm_2_undoes_a_linear_degradation_whatever_the_restorer_says(
    num_steps: int | None,
) -> None:
    x_0 = random_images(3, *SHAPE)
    degradation = Shift(random_images(*SHAPE, seed=1))
    x_T, noise = all_the_way(degradation, x_0)
    assert noise.shape == (3, 0)
    restorer = restorer_of(wrong, degradation)
    x_0_cold = Cold(num_steps).sample(restorer, x_T, noise)
    torch.testing.assert_close(x_0_cold, x_0, rtol=0, atol=1e-13)
    assert (Naive(num_steps).sample(restorer, x_T, noise) - x_0).abs().max() > 0.1


def test_one_step_is_each_algorithms_line() -> None:
    degradation = LineAverage(SHAPE, "row", "outside_in")
    x_t, x_0_hat = random_images(2, *SHAPE), random_images(2, *SHAPE, seed=1)
    noise = degradation.draw_noise(x_t)
    d_4, d_1 = (degradation(x_0_hat, torch.full((2,), step), noise) for step in (4, 1))
    arguments = (x_t, x_0_hat, 4, 1, noise, degradation, None)
    assert torch.equal(step(Naive(), *arguments), d_1)
    torch.testing.assert_close(step(Cold(), *arguments), x_t - d_4 + d_1, rtol=0, atol=1e-15)


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("num_steps", [None, 2])
@pytest.mark.parametrize("sampler", [Cold, Naive])
def test_a_refined_sampler_ends_with_a_pass_at_step_1(
    sampler: type[Cold | Naive], num_steps: int | None, clip: bool
) -> None:
    degradation = LineAverage(SHAPE, "column", "random", condition="mask")
    x_T, noise = all_the_way(degradation, random_images(3, *SHAPE))
    asked = []

    def network(x: Tensor, t: Tensor) -> Tensor:
        asked.append(t[0].item())
        return 3 * wrong(x[:, :2], t) + x[:, 2:]

    restorer = restorer_of(network, degradation)
    plain = list(sampler(num_steps, clip=clip).trajectory(restorer, x_T, noise))
    num_asked = len(asked)
    refined = list(sampler(num_steps, clip=clip, refine=True).trajectory(restorer, x_T, noise))
    assert len(refined) == len(plain) + 1
    assert all(torch.equal(a.x_t, b.x_t) for a, b in zip(plain, refined[:-1], strict=True))
    expected = restorer(plain[-1].x_t, torch.ones(3, dtype=torch.int64), noise)
    expected = expected.clamp(-0.5, 0.5) if clip else expected
    assert (refined[-1].t, asked[-2]) == (0, 1)
    assert torch.equal(refined[-1].x_t, expected)
    assert not torch.equal(expected, plain[-1].x_t)
    x_0 = sampler(num_steps, clip=clip, refine=True).sample(restorer, x_T, noise)
    assert torch.equal(x_0, expected)
    evaluations = sampler(num_steps, refine=True).num_evaluations(degradation)
    assert evaluations == num_asked + 1


def test_a_last_pass_is_named_beside_the_steps() -> None:
    degradation = LineAverage((1, 28, 28), "column", "random")
    assert Cold(refine=True).describe(degradation) == "Cold, 28 steps, 29 evaluations, refined"
    assert Naive(7, refine=True).describe(degradation) == "Naive, 7 steps, 8 evaluations, refined"
    assert Cold().describe(degradation) == "Cold, 28 steps"
    for sampler in (Cold, Naive):
        with pytest.raises(ValueError, match="^refine must be true or false"):
            sampler(refine="yes")  # type: ignore[arg-type]

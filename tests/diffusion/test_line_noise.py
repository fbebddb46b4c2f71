"""The hybrid of averaging and noise: its limits, its law, and what the samplers make of it."""

from typing import get_args

import pytest
import torch
from theory_support import exact_gaussian, random_images, restorer_of, seeded
from torch import Tensor

from thaw.diffusion.degradations.line_average import LineAverage, Order
from thaw.diffusion.degradations.line_noise import LineNoise
from thaw.diffusion.predictions import Velocity
from thaw.diffusion.samplers.base import Sampler
from thaw.diffusion.samplers.cold import Cold, Naive
from thaw.diffusion.samplers.gaussian import DDIM, Ancestral

SHAPE = (2, 6, 8)
EVERY_SAMPLER: list[Sampler] = [Ancestral(), Ancestral(variance="large"), DDIM(), DDIM(eta=0.5)]
NAMES = ["ancestral", "large", "ddim", "eta"]


def exact(axis: str = "column", order: str = "random", **settings: float) -> LineNoise:
    """With float64 tables, so that identities hold to rounding."""
    degradation = LineNoise(SHAPE, axis, order, **settings)  # type: ignore[arg-type]
    degradation.signal, degradation.sigma = degradation.table.unbind(-1)
    return degradation


def residual(degradation: LineNoise, x: Tensor) -> Tensor:
    return x - degradation.average.remainder(x)


def at(degradation: LineNoise, x_0: Tensor, t: int, noise: Tensor) -> Tensor:
    x_t: Tensor = degradation(x_0, torch.full((len(x_0),), t), noise)
    return x_t


@pytest.mark.parametrize("axis", ["column", "row"])
@pytest.mark.parametrize("order", get_args(Order))
def test_without_noise_and_overlap_it_is_line_averaging(axis: str, order: str) -> None:
    x_0 = random_images(3, *SHAPE)
    side = SHAPE[2] if axis == "column" else SHAPE[1]
    hybrid = exact(axis, order, num_steps=side, overlap=0, spread=0)
    average = LineAverage(SHAPE, axis, order)
    noise = hybrid.draw_noise(x_0, seeded())
    for t in range(side + 1):
        steps = torch.full((3,), t)
        expected = average(x_0, steps, average.draw_noise(x_0))
        torch.testing.assert_close(hybrid(x_0, steps, noise), expected, rtol=0, atol=1e-12)


def test_on_the_residual_it_is_gaussian_diffusion_of_every_line_at_once() -> None:
    """With overlap 1 all lines share one schedule, and P x_0 = 0 leaves nothing but noise."""
    hybrid = exact(num_steps=10, overlap=1)
    x_0 = residual(hybrid, random_images(3, *SHAPE))
    eps = residual(hybrid, torch.randn(x_0.shape, generator=seeded(), dtype=torch.float64))
    gaussian = exact_gaussian(hybrid.table[:, 0])
    t = torch.tensor([0, 4, 10])
    torch.testing.assert_close(hybrid(x_0, t, eps), gaussian(x_0, t, eps), rtol=0, atol=1e-12)


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75, 1.0])
def test_the_windows_follow_the_order_and_cover_all_steps(overlap: float) -> None:
    degradation = LineNoise(SHAPE, "column", "inside_out", num_steps=400, overlap=overlap)
    by_rank = degradation.table[..., 0] ** 2
    alpha_bar = torch.cat([degradation.scales_at(t).signal[1, 0] ** 2 for t in range(401)])
    assert torch.equal(by_rank, alpha_bar[:, degradation.average.step_of_line.argsort()])
    assert torch.equal(alpha_bar[0], torch.ones(8, dtype=torch.float64))
    assert torch.equal(alpha_bar[-1], torch.zeros(8, dtype=torch.float64))
    assert (alpha_bar.diff(dim=0) <= 0).all()
    assert (by_rank.diff(dim=1) >= 0).all()
    # Each window lasts w T steps: so many entries lie strictly between 0 and 1.
    window = 400 / (1 + 7 * (1 - overlap))
    between = ((alpha_bar > 0) & (alpha_bar < 1)).sum(0)
    assert ((between - window).abs() <= 1).all()
    # The first starts at once, the last ends with T.
    assert by_rank[1, 0] < 1
    assert by_rank[-2, -1] > 0


def assert_marginal(degradation: LineNoise, x_0: Tensor, x_t: Tensor, t: int) -> None:
    """Mean and deviation of 20,000 x_t are those of the equation, to five standard errors."""
    kept = degradation.remainder(x_0[:1])
    signal, sigma = (each[:, 1] for each in degradation.scales(torch.tensor([t])))
    expected = kept + signal * (x_0[:1] - kept)
    # A column's residual noise has variance 1 - 1 / H.
    deviation = degradation.spread * sigma.expand(1, *SHAPE) * (1 - 1 / SHAPE[1]) ** 0.5
    assert ((x_t.mean(0) - expected).abs() <= 5 * deviation / 20_000**0.5 + 1e-12).all()
    assert ((x_t.std(0) - deviation).abs() <= 5 * deviation / 40_000**0.5 + 1e-12).all()


def test_mean_and_variance_of_x_t_are_those_of_the_equation() -> None:
    degradation = exact(num_steps=12, overlap=0.5, spread=0.7)
    x_0 = random_images(1, *SHAPE).expand(20_000, *SHAPE)
    noise = degradation.draw_noise(x_0, seeded())
    assert_marginal(degradation, x_0, at(degradation, x_0, 6, noise), 6)


@pytest.mark.parametrize(
    "sampler", [*EVERY_SAMPLER, Cold(), Naive()], ids=[*NAMES, "cold", "naive"]
)
def test_a_perfect_restorer_leads_back(sampler: Sampler) -> None:
    x_0 = random_images(4, *SHAPE)
    degradation = exact(num_steps=20)
    perfect = restorer_of(lambda x_t, t: x_0, degradation)
    noise = degradation.draw_noise(x_0, seeded())
    x_T = at(degradation, x_0, 20, noise)
    result = sampler.sample(perfect, x_T, noise, seeded(1))
    torch.testing.assert_close(result, x_0, rtol=0, atol=1e-12)


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_steps_with_the_true_image_keep_the_marginal(eta: float) -> None:
    """q(x_s | x_0) whatever eta (Song et al. 2021, lemma 1), here line by line."""
    degradation = exact(num_steps=20, overlap=0.6, spread=0.4)
    x_0 = random_images(1, *SHAPE).expand(20_000, *SHAPE)
    noise = degradation.draw_noise(x_0, seeded())
    perfect = restorer_of(lambda x_t, t: x_0, degradation)
    x_T = at(degradation, x_0, 20, noise)
    for state in DDIM(4, eta=eta).trajectory(perfect, x_T, noise, seeded(1)):
        assert_marginal(degradation, x_0, state.x_t, state.t)


@pytest.mark.parametrize("sampler", EVERY_SAMPLER, ids=NAMES)
def test_line_means_and_what_is_still_clean_never_change(sampler: Sampler) -> None:
    """Whatever the network says: its estimate here is an unrelated image."""
    degradation = exact(num_steps=20, overlap=0.2)
    x_0, other = random_images(4, *SHAPE), random_images(4, *SHAPE, seed=9)
    noise = degradation.draw_noise(x_0, seeded())
    wrong = restorer_of(lambda x_t, t: other, degradation)
    x_T = at(degradation, x_0, 20, noise)
    for state in sampler.trajectory(wrong, x_T, noise, seeded(2)):
        means = degradation.remainder(state.x_t)
        torch.testing.assert_close(means, degradation.remainder(x_0), rtol=0, atol=1e-12)
    x_9 = at(degradation, x_0, 9, noise)
    is_clean = degradation.scales_at(9).is_clean[1].expand(SHAPE)
    assert is_clean.any()
    for state in sampler.trajectory(wrong, x_9, noise, seeded(2), start=9):
        assert torch.equal(state.x_t[:, is_clean], x_9[:, is_clean])


def test_one_x_t_gives_one_image_without_noise_and_many_with_it() -> None:
    """The spread of what is sampled from the same line means grows from 0 with that of the noise.

    The network is the best one for data whose residual is standard normal: R x_0_hat = a R x_t.
    """
    means = random_images(1, *SHAPE).expand(500, *SHAPE)
    spreads = []
    for spread in (0.0, 0.3, 1.0):
        degradation = exact(num_steps=120, spread=spread)

        def best(x_t: Tensor, t: Tensor, degradation: LineNoise = degradation) -> Tensor:
            signal = degradation.scales(t).signal[:, 1]
            image = residual(degradation, x_t)
            return x_t - image + signal * image

        noise = degradation.draw_noise(means, seeded())
        x_T = degradation.complete(degradation.remainder(means), noise)
        sampler = Ancestral(clip=False)
        x_0 = sampler.sample(restorer_of(best, degradation), x_T, noise, seeded(1))
        spreads.append(x_0.std(0).mean().item())
    assert spreads[0] < 1e-12
    assert 0.05 < spreads[1] < spreads[2]
    # At spread 1 the samples have the data's own deviation, (1 - 1 / H)^(1/2).
    assert abs(spreads[2] - (1 - 1 / SHAPE[1]) ** 0.5) < 0.05


@pytest.mark.parametrize("axis", ["column", "row"])
@pytest.mark.parametrize("spread", [0.0, 0.6, 1.0])
def test_what_is_still_clean_has_no_velocity(axis: str, spread: float) -> None:
    """x_t is the same whatever noise a clean line would get: so must be what is to be predicted."""
    degradation = exact(axis, num_steps=20, spread=spread)
    x_0, t = random_images(20, *SHAPE), torch.arange(1, 21)
    is_clean = degradation.scales(t).is_clean[:, 1]
    assert is_clean.any()
    assert not is_clean.all()
    noise, other = (degradation.draw_noise(x_0, seeded(seed)) for seed in (0, 1))
    other = torch.where(is_clean, other, noise)
    x_t = degradation(x_0, t, noise)
    assert torch.equal(x_t, degradation(x_0, t, other))
    target = Velocity().target(x_0, noise, t, degradation)
    assert torch.equal(target, Velocity().target(x_0, other, t, degradation))
    assert target[is_clean.expand_as(target)].eq(0).all()
    # There x_0_hat is x_t, whatever the network says.
    decoded = Velocity().decode(torch.randn_like(x_t), x_t, t, degradation)
    torch.testing.assert_close(
        decoded[is_clean.expand_as(x_t)], x_t[is_clean.expand_as(x_t)], rtol=0, atol=1e-15
    )

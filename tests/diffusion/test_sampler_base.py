"""The loop and the time grid that every sampler shares."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from theory_support import restorer_of
from torch import Tensor

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.degradations.line_noise import LineNoise
from thaw.diffusion.samplers.base import Sampler
from thaw.diffusion.samplers.cold import Cold, Naive
from thaw.diffusion.samplers.gaussian import DDIM, Ancestral
from thaw.diffusion.samplers.solvers import DPMSolver, Heun
from thaw.diffusion.samplers.straight import InDI
from thaw.diffusion.schedules import cosine, linear
from thaw.pixels import PixelRange

ALL = [Cold, Naive, DDIM, Ancestral, DPMSolver, Heun]
COLUMNS = LineAverage((1, 4, 6), "column", "random")


@pytest.mark.parametrize("num_steps", [None, 3])
def test_the_network_is_asked_at_the_label_of_each_image(num_steps: int | None) -> None:
    """T first and included, 0 never: at step t what is handed over is x_t, and its label is t."""
    asked = []

    def network(x_t: Tensor, t: Tensor) -> Tensor:
        assert t.dtype == torch.int64
        assert t.shape == (2,)
        asked.append((t.unique().item(), x_t))
        return torch.zeros_like(x_t)

    sampler = Cold(num_steps)
    x_T = torch.rand(2, 1, 4, 6)
    states = list(sampler.trajectory(restorer_of(network, COLUMNS), x_T, COLUMNS.draw_noise(x_T)))
    assert [t for t, _ in asked] == sampler.times(6)[:-1]
    assert [state.t for state in states] == sampler.times(6)
    for (_, x_t), state in zip(asked, states, strict=False):
        assert x_t is state.x_t
    assert states[0].x_t is x_T
    assert states[0].x_0_hat is None


def test_clipping_is_to_the_images_range_and_can_be_turned_off() -> None:
    restorer = restorer_of(
        lambda x_t, t: torch.linspace(-3, 3, 24).view(1, 1, 4, 6).expand_as(x_t),
        COLUMNS,
        pixel_range=PixelRange(-1.0, 2.0),
    )
    x_T = torch.rand(2, 1, 4, 6)
    for clip, ends in ((True, (-1, 2)), (False, (-3, 3))):
        _, state, *_ = Naive(clip=clip).trajectory(restorer, x_T, COLUMNS.draw_noise(x_T))
        assert state.x_0_hat is not None
        assert (state.x_0_hat.min().item(), state.x_0_hat.max().item()) == ends


@pytest.mark.parametrize("name", ["naive", "cold", "ddim", "ddim eta 1", "ancestral", "heun"])
def test_to_start_at_x_t_is_to_go_on_with_the_whole_chain(name: str) -> None:
    degradation: Degradation = COLUMNS if name in ("naive", "cold") else Gaussian(cosine(6))
    restorer = restorer_of(lambda x_t, t: (x_t * t.view(-1, 1, 1, 1)).sin(), degradation)
    x_T = torch.randn(2, 1, 4, 6)
    noise = degradation.draw_noise(x_T)
    sampler = SAMPLERS[name]()
    with torch.no_grad():
        draws = torch.Generator().manual_seed(1)
        whole = []
        for state in sampler.trajectory(restorer, x_T, noise, draws):
            whole.append((state, draws.get_state()))
        for k, (state, drawn) in enumerate(whole[:-1]):
            draws.set_state(drawn)
            rest = list(sampler.trajectory(restorer, state.x_t, noise, draws, start=6 - k))
            assert [each.t for each in rest] == list(range(6 - k, -1, -1))
            for again, (before, _) in zip(rest, whole[k:], strict=True):
                assert torch.equal(again.x_t, before.x_t)
            draws.set_state(drawn)
            x_0 = sampler.sample(restorer, state.x_t, noise, draws, start=6 - k)
            assert torch.equal(x_0, whole[-1][0].x_t)


@pytest.mark.parametrize(
    ("num_steps", "start", "expected"),
    [
        (None, 4, [4, 3, 2, 1, 0]),
        (2, 4, [4, 2, 0]),
        (5, 4, [4, 3, 2, 1, 0]),
        (5, 1, [1, 0]),
        (3, 6, [6, 4, 2, 0]),
        (3, None, [6, 4, 2, 0]),
    ],
)
def test_the_grid_is_laid_over_the_steps_that_are_left(
    num_steps: int | None, start: int | None, expected: list[int]
) -> None:
    restorer = restorer_of(lambda x_t, t: x_t, COLUMNS)
    x_t = torch.rand(2, 1, 4, 6)
    noise = COLUMNS.draw_noise(x_t)
    states = Cold(num_steps).trajectory(restorer, x_t, noise, start=start)
    assert [state.t for state in states] == expected


@pytest.mark.parametrize("start", [0, 7, 2.0])
def test_a_start_outside_1_to_T_is_refused(start: int) -> None:  # noqa: N802
    x_t = torch.rand(1, 1, 4, 6)
    restorer = restorer_of(lambda x_t, t: x_t, COLUMNS)
    with pytest.raises(ValueError, match=f"^start must be a whole number from 1 to 6, got {start}"):
        Cold().sample(restorer, x_t, COLUMNS.draw_noise(x_t), start=start)


SAMPLERS: dict[str, Callable[..., Sampler]] = {
    "naive": Naive,
    "cold": Cold,
    "ddim": DDIM,
    "ddim eta 1": partial(DDIM, eta=1.0),
    "ancestral": Ancestral,
    "ancestral large": partial(Ancestral, variance="large"),
    "dpm": DPMSolver,
    "heun": Heun,
}


@pytest.mark.parametrize("sampler", ALL)
def test_bad_settings_and_more_steps_than_there_are_are_refused(sampler: type[Sampler]) -> None:
    degradation = Gaussian(linear(6))
    sampler(num_steps=6).check(degradation)
    x_T = torch.randn(1, 1, 2, 2)
    with pytest.raises(ValueError, match="^num_steps=7 is more than the 6 steps of Gaussian"):
        sampler(num_steps=7).sample(restorer_of(lambda x_t, t: x_t, degradation), x_T, x_T)
    with pytest.raises(ValueError, match="^num_steps must be a whole number of at least 1 or null"):
        sampler(num_steps=0)
    with pytest.raises(ValueError, match="^clip must be true or false, got 'yes'"):
        sampler(clip="yes")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="^grid must be a Grid, got 'quadratic'"):
        sampler(grid="quadratic")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sampler", "kind", "degradation"),
    [
        (DDIM, "Noising", COLUMNS),
        (InDI, "StraightPath", COLUMNS),
        (Ancestral, "Noising", COLUMNS),
        (Heun, "Gaussian", LineNoise((1, 4, 6), "column", "random")),
        (DPMSolver, "Gaussian", LineNoise((1, 4, 6), "column", "random")),
    ],
)
def test_a_sampler_refuses_a_degradation_of_another_kind(
    sampler: type[Sampler], kind: str, degradation: Degradation
) -> None:
    x_T = torch.randn(1, 1, 4, 6)
    restorer = restorer_of(lambda x_t, t: x_t, degradation)
    expected = f"{sampler.__name__} needs a degradation of the kind {kind}, got Line"
    with pytest.raises(ValueError, match=expected):
        sampler().sample(restorer, x_T, x_T)


def test_at_most_leaves_the_sampler_as_it_was() -> None:
    sampler = DDIM(25, eta=0.5)
    assert [sampler.at_most(n).num_steps for n in (10, 25, 30)] == [10, 25, 25]
    assert Cold().at_most(3).num_steps == 3
    assert (sampler.num_steps, sampler.at_most(10).eta) == (25, 0.5)

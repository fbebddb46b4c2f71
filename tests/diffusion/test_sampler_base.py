"""The loop and the time grid that every sampler shares."""

from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.degradations.line_noise import LineNoise
from thaw.diffusion.predictions import Clean, Noise, Prediction
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Sampler
from thaw.diffusion.samplers.cold import Cold, Naive
from thaw.diffusion.samplers.gaussian import DDIM, Ancestral
from thaw.diffusion.samplers.grids import Leading, Linspace, Quadratic, Trailing
from thaw.diffusion.samplers.solvers import DPMSolver, Heun
from thaw.diffusion.schedules import cosine, linear
from thaw.networks.cnn import CNN
from thaw.pixels import PixelRange

RestorerOf = Callable[..., Restorer]
ALL = [Cold, Naive, DDIM, Ancestral, DPMSolver, Heun]
COLUMNS = LineAverage((1, 4, 6), "column", "random")


@given(st.integers(1, 1000), st.data())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_the_grid_falls_strictly_and_evenly_from_T_to_0(last: int, data: st.DataObject) -> None:  # noqa: N802
    num_steps = data.draw(st.integers(1, last))
    times = Cold(num_steps).times(last)
    assert (times[0], times[-1], len(times)) == (last, 0, num_steps + 1)
    gaps = [t - s for t, s in pairwise(times)]
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 2
    assert all(abs(t - last * (1 - k / num_steps)) <= 0.5 + 1e-9 for k, t in enumerate(times))


def test_all_steps_is_every_step() -> None:
    assert Cold().times(28) == list(range(28, -1, -1))


@pytest.mark.parametrize("num_steps", [None, 3])
def test_the_network_is_asked_at_the_label_of_each_image(
    num_steps: int | None, restorer_of: RestorerOf
) -> None:
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


def test_sample_is_where_the_trajectory_ends(restorer_of: RestorerOf) -> None:
    restorer = restorer_of(lambda x_t, t: x_t.tanh(), Gaussian(linear(10)))
    x_T = torch.randn(2, 1, 4, 6)
    sampler = DDIM(eta=1.0)
    *_, last = sampler.trajectory(restorer, x_T, x_T, torch.Generator().manual_seed(1))
    x_0 = sampler.sample(restorer, x_T, x_T, torch.Generator().manual_seed(1))
    assert last.t == 0
    assert torch.equal(x_0, last.x_t)


def test_clipping_is_to_the_images_range_and_can_be_turned_off(restorer_of: RestorerOf) -> None:
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
def test_to_start_at_x_t_is_to_go_on_with_the_whole_chain(
    name: str, restorer_of: RestorerOf
) -> None:
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
    num_steps: int | None, start: int | None, expected: list[int], restorer_of: RestorerOf
) -> None:
    restorer = restorer_of(lambda x_t, t: x_t, COLUMNS)
    x_t = torch.rand(2, 1, 4, 6)
    noise = COLUMNS.draw_noise(x_t)
    states = Cold(num_steps).trajectory(restorer, x_t, noise, start=start)
    assert [state.t for state in states] == expected


@pytest.mark.parametrize("start", [0, 7, 2.0])
def test_a_start_outside_1_to_T_is_refused(start: int, restorer_of: RestorerOf) -> None:  # noqa: N802
    x_t = torch.rand(1, 1, 4, 6)
    restorer = restorer_of(lambda x_t, t: x_t, COLUMNS)
    with pytest.raises(ValueError, match=f"^start must be a whole number from 1 to 6, got {start}"):
        Cold().sample(restorer, x_t, COLUMNS.draw_noise(x_t), start=start)


def wild(x_t: Tensor, t: Tensor) -> Tensor:
    return 1e4 * (50 * x_t + t.view(-1, 1, 1, 1)).sin()


def far_off(x_t: Tensor, t: Tensor) -> Tensor:
    return torch.full_like(x_t, -1e6)


def amplifies(x_t: Tensor, t: Tensor) -> Tensor:
    return 100 * x_t


@cache
def untrained() -> CNN:
    return CNN((1, 28, 28), num_steps=40, hidden=[4, 4], kernel_size=3)


NETWORKS = {
    "wild": lambda: wild,
    "far off": lambda: far_off,
    "amplifies": lambda: amplifies,
    "untrained": untrained,
}
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
DEGRADATIONS: list[tuple[Degradation, Prediction]] = [
    (Gaussian(linear(40)), Noise()),
    (Gaussian(cosine(40)), Clean()),
    (LineAverage((1, 28, 28), "column", "random"), Clean()),
]


@given(st.data())
@settings(max_examples=50, deadline=None, derandomize=True)
def test_what_is_clipped_stays_in_the_images_range(
    restorer_of: RestorerOf, data: st.DataObject
) -> None:
    """Every x_0_hat, and x_0 itself: for all but Algorithm 2 it is the last x_0_hat.

    Algorithm 2's x_0 is x_1 - D(x_0_hat, 1) + x_0_hat, so written images are what is in range.
    """
    degradation, prediction = data.draw(st.sampled_from(DEGRADATIONS))
    is_gaussian = isinstance(degradation, Gaussian)
    name = data.draw(st.sampled_from(list(SAMPLERS) if is_gaussian else ["naive", "cold"]))
    grids = [Trailing(), Linspace(), Quadratic(), *([Leading()] if is_gaussian else [])]
    grid = data.draw(st.sampled_from(grids))
    num_steps = data.draw(st.sampled_from([1, 2, 5, 28]))
    low = data.draw(st.sampled_from([-1.0, -0.5, 0.0]))
    network = NETWORKS[data.draw(st.sampled_from(list(NETWORKS)))]()
    pixel_range = PixelRange(low, low + 1.25)
    restorer = restorer_of(network, degradation, prediction, pixel_range)
    x_T = torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(num_steps))
    draws = torch.Generator().manual_seed(0)
    noise = degradation.draw_noise(x_T, draws)
    sampler = SAMPLERS[name](num_steps, grid=grid)
    with torch.no_grad():
        states = list(sampler.trajectory(restorer, x_T, noise, draws))
    for state in states[1:]:
        assert state.x_0_hat is not None
        assert low <= state.x_0_hat.min()
        assert state.x_0_hat.max() <= low + 1.25
    x_0 = states[-1].x_t
    assert x_0.isfinite().all()
    written = pixel_range.from_uint8(pixel_range.to_uint8(x_0))
    for image in (written,) if name == "cold" else (written, x_0):
        assert low <= image.min()
        assert image.max() <= low + 1.25


@pytest.mark.parametrize("sampler", ALL)
def test_bad_settings_and_more_steps_than_there_are_are_refused(
    sampler: type[Sampler], restorer_of: RestorerOf
) -> None:
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
        (Ancestral, "Noising", COLUMNS),
        (Heun, "Gaussian", LineNoise((1, 4, 6), "column", "random")),
        (DPMSolver, "Gaussian", LineNoise((1, 4, 6), "column", "random")),
    ],
)
def test_a_sampler_refuses_a_degradation_of_another_kind(
    sampler: type[Sampler], kind: str, degradation: Degradation, restorer_of: RestorerOf
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


def test_the_description_names_the_sampler_and_its_steps() -> None:
    assert DDIM(num_steps=25).describe(Gaussian(linear(100))) == "DDIM, 25 steps"
    assert Cold().describe(COLUMNS) == "Cold, 6 steps"

"""Time grids: what each promises, diffusers' spacings, and the way they are chosen."""

from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from theory_support import restorer_of
from torch import Tensor

from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.samplers.cold import Cold, Naive
from thaw.diffusion.samplers.gaussian import DDIM
from thaw.diffusion.samplers.grids import Grid, Leading, Linspace, Quadratic, Trailing
from thaw.diffusion.schedules import edm, flow, linear

GRIDS = [Trailing(), Linspace(), Leading(), Quadratic()]
every_grid = pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: grid.name)
COLUMNS = LineAverage((1, 4, 6), "column", "random")


@every_grid
@given(st.integers(1, 1000), st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_times_fall_strictly_to_0(grid: Grid, last: int, data: st.DataObject) -> None:
    num_steps = data.draw(st.integers(1, last))
    times = grid.times(last, num_steps)
    assert len(times) == num_steps + 1
    assert all(t > s for t, s in pairwise(times))
    assert times[-1] == 0
    if isinstance(grid, Leading):
        gaps = {t - s for t, s in pairwise(times[:-1])} or {last}
        assert gaps == {last // num_steps}
        assert times[-2] == 1
    else:
        assert times[0] == last


@every_grid
@pytest.mark.parametrize("last", [1, 2, 30])
def test_all_steps_is_every_step(grid: Grid, last: int) -> None:
    assert grid.times(last, last) == list(range(last, -1, -1))


@pytest.mark.parametrize("num_steps", [2, 7, 10, 50, 300, 999])
@pytest.mark.parametrize("name", ["trailing", "linspace", "leading"])
def test_the_spacing_is_diffusers(name: str, num_steps: int) -> None:
    published = DDIMScheduler(num_train_timesteps=1000, timestep_spacing=name)
    published.set_timesteps(num_steps)
    (grid,) = (grid for grid in GRIDS if grid.name == name)
    # Their index t - 1 is our step t.
    assert [*(published.timesteps + 1).tolist(), 0] == grid.times(1000, num_steps)


@pytest.mark.parametrize("table", [flow(20), edm(20)], ids=["flow", "edm"])
def test_the_leading_grid_is_for_schedules_that_keep_the_scale_of_x_T(  # noqa: N802
    table: Tensor,
) -> None:
    DDIM(5, grid=Leading()).check(Gaussian(linear(20)))
    with pytest.raises(ValueError, match="use sampler/grid=trailing$"):
        DDIM(5, grid=Leading()).check(Gaussian(table))


def test_quadratic_times_are_squares() -> None:
    assert Quadratic().times(1000, 10) == [1000, 810, 640, 490, 360, 250, 160, 90, 40, 10, 0]


@pytest.mark.parametrize(("last", "num_steps"), [(100, 50), (28, 20), (1000, 900)])
def test_squares_that_would_fall_together_are_spread_out(last: int, num_steps: int) -> None:
    times = Quadratic().times(last, num_steps)[::-1]
    for rank, t in enumerate(times):
        assert t == max(round(last * (rank / num_steps) ** 2), rank)


@pytest.mark.parametrize("sampler", [Cold, Naive])
@pytest.mark.parametrize("grid", [Trailing(), Linspace(), Quadratic()], ids=lambda g: g.name)
@pytest.mark.parametrize("num_steps", [1, 3, 5])
def test_the_cold_algorithms_take_fewer_steps_on_any_grid(
    sampler: type[Cold], grid: Grid, num_steps: int
) -> None:
    """What the network sees is what the degradation makes of the image at the step it is told."""
    x_0 = torch.rand(3, 1, 4, 6, dtype=torch.float64) - 0.5
    noise = COLUMNS.draw_noise(x_0)
    seen = []

    def perfect(x_t: Tensor, t: Tensor) -> Tensor:
        seen.append(t[0].item())
        torch.testing.assert_close(x_t, COLUMNS(x_0, t, noise), rtol=0, atol=1e-15)
        return x_0

    x_T = COLUMNS(x_0, torch.full((3,), 6), noise)
    restored = sampler(num_steps, grid=grid).sample(restorer_of(perfect, COLUMNS), x_T, noise)
    torch.testing.assert_close(restored, x_0, rtol=0, atol=1e-15)
    assert seen == grid.times(6, num_steps)[:-1]


def test_leading_is_refused_where_the_start_has_to_be_the_last_step() -> None:
    with pytest.raises(ValueError, match="Leading needs .* Gaussian, got LineAverage"):
        Cold(grid=Leading()).check(COLUMNS)
    DDIM(3, grid=Leading()).check(Gaussian(linear(10)))


def test_the_description_names_a_grid_that_is_not_the_usual_one() -> None:
    degradation = Gaussian(linear(100))
    assert DDIM(25, grid=Trailing()).describe(degradation) == "DDIM, 25 steps"
    assert DDIM(25, grid=Leading()).describe(degradation) == "DDIM, 25 steps, leading grid"
    assert Cold(2, grid=Quadratic()).describe(COLUMNS) == "Cold, 2 steps, quadratic grid"

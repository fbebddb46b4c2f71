"""The Gaussian samplers side by side with diffusers' schedulers: same tensors, same noise.

First as published, tables and all, in float32. Then in float64, with our table in place of their
float32 one, so that nothing but the formulas is compared, and the tolerance is that of rounding.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    HeunDiscreteScheduler,
)
from theory_support import exact_gaussian, restore, restorer_of, step
from torch import Generator, Tensor

from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.predictions import Noise
from thaw.diffusion.samplers.gaussian import DDIM, Ancestral
from thaw.diffusion.samplers.grids import Grid, Leading, Linspace, Quadratic, Trailing
from thaw.diffusion.samplers.solvers import DPMSolver, Heun, Solver
from thaw.diffusion.schedules import alpha_bar_of, betas_of, cosine, linear
from thaw.pixels import PixelRange

SHAPE = (4, 1, 6, 5)
SCHEDULES = {"linear": linear, "squaredcos_cap_v2": cosine}


def seeded(seed: int = 7) -> Generator:
    return Generator().manual_seed(seed)


def network(x_t: Tensor, t: Tensor) -> Tensor:
    """Some noise predictor that is roughly right, so that trajectories stay tame."""
    return 0.95 * x_t + 0.1 * (2 * x_t + t.view(-1, 1, 1, 1) / 100).sin()


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("num_steps", [10, 50])
def test_the_ddim_loop_is_theirs(name: str, eta: float, num_steps: int) -> None:
    """Clipped, with eps re-derived from the clipped image; their ``trailing`` grid is ours."""
    published = DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule=name,
        clip_sample=True,
        clip_sample_range=0.5,
        timestep_spacing="trailing",
    )
    published.set_timesteps(num_steps)
    sampler = DDIM(num_steps, eta)
    assert (published.timesteps + 1).tolist() == sampler.times(1000)[:-1]
    x_T = torch.randn(SHAPE, generator=seeded(1))
    theirs, draws = x_T, seeded()
    for index in published.timesteps.tolist():
        theirs = published.step(
            network(theirs, torch.full((4,), index + 1)),
            index,
            theirs,
            eta=eta,
            use_clipped_model_output=True,
            generator=draws,
        ).prev_sample
    restorer = restorer_of(network, Gaussian(SCHEDULES[name](1000)), Noise())
    x_0 = sampler.sample(restorer, x_T, x_T, seeded())
    torch.testing.assert_close(x_0, theirs, rtol=0, atol=5e-5)


@pytest.fixture(params=SCHEDULES)
def table(request: pytest.FixtureRequest) -> Tensor:
    """Of 1000 steps, float64."""
    return SCHEDULES[request.param](1000)


def exact(published: Any, table: Tensor) -> Any:
    """Their scheduler, from now on with the float64 table."""
    published.betas = betas_of(alpha_bar_of(table))
    published.alphas = 1 - published.betas
    published.alphas_cumprod = alpha_bar_of(table)[1:]
    return published


def images(seed: int) -> Tensor:
    return torch.randn(SHAPE, generator=seeded(seed), dtype=torch.float64)


def tame(table: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """A noise predictor near the optimal one of N(0, 1/4), whose x_0_hat stays tame unclipped."""

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        ab = alpha_bar_of(table)[t].view(-1, 1, 1, 1)
        optimal = (1 - ab).sqrt() * x_t / (ab / 4 + 1 - ab)
        return optimal + 0.2 * ab.sqrt() * (2 * x_t + t.view(-1, 1, 1, 1) / 200).sin()

    return predict


@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("clip", [True, False])
def test_each_ancestral_step_is_theirs_to_rounding(
    table: Tensor, variance: str, clip: bool
) -> None:
    published = exact(
        DDPMScheduler(variance_type=f"fixed_{variance}", clip_sample=clip, clip_sample_range=0.5),
        table,
    )
    degradation = exact_gaussian(table)
    sampler = Ancestral(variance=variance, clip=clip)
    restorer = restorer_of(tame(table), degradation, Noise())
    for t in (1, 2, 3, 10, 100, 500, 900, 999, 1000):
        x_t = degradation(images(2) / 4, torch.full((4,), t), images(1))
        x_s = step(
            sampler, x_t, restore(sampler, restorer, x_t, t), t, t - 1, x_t, degradation, seeded()
        )
        eps_hat = tame(table)(x_t, torch.full((4,), t))
        theirs = published.step(eps_hat, t - 1, x_t, generator=seeded()).prev_sample
        torch.testing.assert_close(x_s, theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("grid", [Trailing(), Leading()], ids=lambda grid: grid.name)
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("clip", [True, False])
def test_the_ddim_loop_is_theirs_to_rounding(
    table: Tensor, grid: Grid, eta: float, clip: bool
) -> None:
    published = exact(
        DDIMScheduler(clip_sample=clip, clip_sample_range=0.5, timestep_spacing=grid.name), table
    )
    published.set_timesteps(20)
    theirs, draws = images(1), seeded()
    for index in published.timesteps.tolist():
        eps_hat = tame(table)(theirs, torch.full((4,), index + 1))
        theirs = published.step(
            eps_hat, index, theirs, eta=eta, use_clipped_model_output=clip, generator=draws
        ).prev_sample
    restorer = restorer_of(tame(table), exact_gaussian(table), Noise())
    x_0 = DDIM(20, eta, clip=clip, grid=grid).sample(restorer, images(1), images(1), seeded())
    torch.testing.assert_close(x_0, theirs, rtol=0, atol=1e-9)


def set_times(published: Any, times: list[int], table: Tensor) -> None:
    """Their times and sigmas, the latter in float64 again: they keep them in float32."""
    published.set_timesteps(timesteps=[t - 1 for t in times[:-1]])
    sigmas = (table[:, 1] / table[:, 0])[times]
    torch.testing.assert_close(published.sigmas.double().unique(), sigmas.flip(0))
    inner = sigmas[1:-1].repeat_interleave(published.order)  # once an evaluation
    published.sigmas = torch.cat([sigmas[:1], inner, sigmas[-1:]])


def clipped_multistep(table: Tensor, clip: bool) -> Any:
    """Their DPM-Solver++(2M), whose thresholding clips to [-1, 1]."""
    published = DPMSolverMultistepScheduler(
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        final_sigmas_type="zero",
        thresholding=clip,
        sample_max_value=1.0,
    )
    return exact(published, table)


@pytest.mark.parametrize("grid", [Trailing(), Linspace(), Quadratic()], ids=lambda grid: grid.name)
@pytest.mark.parametrize("num_steps", [2, 10, 25])
@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize(("solver", "tolerance"), [(DPMSolver, 1e-5), (Heun, 1e-6)])
def test_the_loop_of_a_solver_is_theirs(
    table: Tensor, solver: type[Solver], tolerance: float, grid: Grid, num_steps: int, clip: bool
) -> None:
    """Their DPM-Solver casts x_t to float32 in each step, whatever it is given.

    Their Heun works on y = x / sqrt(ab), which is 20,000 x at the cosine table's end.
    """
    sampler, theirs = solver(num_steps, clip=clip, grid=grid), images(1)
    if solver is Heun:
        published = exact(HeunDiscreteScheduler(clip_sample=clip, clip_sample_range=1.0), table)
    else:
        published = clipped_multistep(table, clip)
    set_times(published, grid.times(1000, num_steps), table)
    if solver is Heun:
        assert len(published.timesteps) == sampler.num_evaluations(Gaussian(table))
        theirs = theirs * (published.sigmas[0] ** 2 + 1).sqrt()
    for t in published.timesteps:
        x_t = published.scale_model_input(theirs, t)
        eps_hat = tame(table)(x_t, torch.full((4,), int(t) + 1))
        theirs = published.step(eps_hat, t, theirs).prev_sample
    restorer = restorer_of(tame(table), exact_gaussian(table), Noise(), PixelRange(-1.0, 1.0))
    x_0 = sampler.sample(restorer, images(1), images(1))
    torch.testing.assert_close(x_0, theirs, rtol=0, atol=tolerance)

"""DPM-Solver++(2M) and Heun: against their papers' own variables, and what they promise."""

from itertools import pairwise

import pytest
import torch
from theory_support import exact_gaussian, random_images, restorer_of, step
from torch import Generator, Tensor

from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.samplers.gaussian import DDIM, Ancestral
from thaw.diffusion.samplers.grids import Grid, Linspace, Quadratic, Trailing
from thaw.diffusion.samplers.solvers import DPMSolver, Heun, Solver
from thaw.diffusion.schedules import linear

SHAPE = (3, 1, 4, 5)
SOLVERS = [DPMSolver, Heun]


def normal(seed: int) -> Tensor:
    return torch.randn(*SHAPE, generator=Generator().manual_seed(seed), dtype=torch.float64)


def clean(x_t: Tensor, t: Tensor) -> Tensor:
    """Some x_0_hat, smooth in both arguments."""
    return (0.8 * x_t + t.view(-1, 1, 1, 1) / 40).sin()


@pytest.mark.parametrize("grid", [Trailing(), Quadratic()], ids=["trailing", "quadratic"])
def test_dpm_solver_is_lus_algorithm_2(grid: Grid) -> None:
    """Lu et al. 2022, in alpha, sigma, lambda and h, down to the step before sigma = 0."""
    schedule = linear(60)
    sampler = DPMSolver(6, clip=False, grid=grid)
    times = sampler.times(60)
    alpha, sigma = schedule.unbind(1)
    lam = alpha.log() - sigma.log()
    x, images, states = normal(1), [], [normal(1)]
    for i in range(1, 6):
        now, then = times[i - 1], times[i]
        images.append(clean(x, torch.full((3,), now)))
        h = lam[then] - lam[now]
        if i == 1:
            D = images[-1]
        else:
            r = (lam[now] - lam[times[i - 2]]) / h
            D = (1 + 1 / (2 * r)) * images[-1] - 1 / (2 * r) * images[-2]
        x = sigma[then] / sigma[now] * x - alpha[then] * torch.expm1(-h) * D
        states.append(x)
    states.append(clean(x, torch.full((3,), times[5])))
    restorer = restorer_of(clean, exact_gaussian(schedule))
    for state, expected in zip(
        sampler.trajectory(restorer, normal(1), normal(1)), states, strict=True
    ):
        torch.testing.assert_close(state.x_t, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("grid", [Trailing(), Linspace()], ids=["trailing", "linspace"])
def test_heun_is_karras_algorithm_1(grid: Grid) -> None:
    """Karras et al. 2022, of y = x / sqrt(ab) in sigma, each line as it stands there."""
    schedule = linear(60)
    sampler = Heun(6, clip=False, grid=grid)
    times = sampler.times(60)
    signal, sigma = schedule[:, 0], schedule[:, 1] / schedule[:, 0]

    def denoised(y: Tensor, t: int) -> Tensor:
        return clean(y * signal[t], torch.full((3,), t))

    y = normal(1) / signal[60]
    states = [normal(1)]
    for now, then in pairwise(times):
        d = (y - denoised(y, now)) / sigma[now]
        y_next = y + (sigma[then] - sigma[now]) * d
        if sigma[then] != 0:
            d_next = (y_next - denoised(y_next, then)) / sigma[then]
            y_next = y + (sigma[then] - sigma[now]) * (d + d_next) / 2
        y = y_next
        states.append(y * signal[then])
    restorer = restorer_of(clean, exact_gaussian(schedule))
    for state, expected in zip(
        sampler.trajectory(restorer, normal(1), normal(1)), states, strict=True
    ):
        torch.testing.assert_close(state.x_t, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("sampler", [DDIM, *SOLVERS])
@pytest.mark.parametrize("num_steps", [2, 7, None])
def test_a_perfect_restorer_leads_along_the_degradation(
    sampler: type[Solver], num_steps: int | None
) -> None:
    degradation = exact_gaussian(linear(40))
    x_0, noise = random_images(*SHAPE), normal(3)
    x_T = degradation(x_0, torch.full((3,), 40), noise)
    restorer = restorer_of(lambda x_t, t: x_0, degradation)
    for state in sampler(num_steps).trajectory(restorer, x_T, noise):
        expected = degradation(x_0, torch.full((3,), state.t), noise)
        torch.testing.assert_close(state.x_t, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("sampler", "steps", "evaluations", "description"),
    [
        (DPMSolver(10), 10, 10, "DPMSolver, 10 steps"),
        (DPMSolver(), 30, 30, "DPMSolver, 30 steps"),
        (Heun(10), 10, 19, "Heun, 10 steps, 19 evaluations"),
        (Heun(1), 1, 1, "Heun, 1 steps"),
        (Heun(), 30, 59, "Heun, 30 steps, 59 evaluations"),
        (Heun(5, grid=Quadratic()), 5, 9, "Heun, 5 steps, 9 evaluations, quadratic grid"),
        (DDIM(5, eta=0.5, clip=False), 5, 5, "DDIM, 5 steps, eta 0.5, not clipped"),
        (Ancestral(5), 5, 5, "Ancestral, 5 steps"),
        (Ancestral(variance="large"), 30, 30, "Ancestral, 30 steps, large variance"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_description_states_the_evaluations_that_are_made(
    sampler: DDIM, steps: int, evaluations: int, description: str
) -> None:
    calls = []

    def network(x_t: Tensor, t: Tensor) -> Tensor:
        calls.append(t[0].item())
        return clean(x_t, t)

    degradation = Gaussian(linear(30))
    states = list(sampler.trajectory(restorer_of(network, degradation), normal(1), normal(1)))
    assert len(states) == steps + 1
    assert len(calls) == evaluations == sampler.num_evaluations(degradation)
    assert sampler.describe(degradation) == description


ZERO = linear(50, zero_terminal_snr=True)


@pytest.mark.parametrize(("sampler", "of_first_order"), [(DPMSolver, 2), (Heun, 1)])
def test_a_solver_leaves_alpha_bar_0_by_ddims_steps(
    sampler: type[Solver], of_first_order: int
) -> None:
    """Both papers' variables are infinite there: no slope, and nothing to extrapolate from."""
    calls = []

    def network(x_t: Tensor, t: Tensor) -> Tensor:
        calls.append(t)
        return clean(x_t, t)

    degradation = Gaussian(ZERO)
    restorer = restorer_of(network, degradation)
    by_ddim = list(DDIM(8).trajectory(restorer, normal(1), normal(1)))
    calls.clear()
    states = list(sampler(8).trajectory(restorer, normal(1), normal(1)))
    same = [torch.equal(a.x_t, b.x_t) for a, b in zip(states, by_ddim, strict=True)]
    assert same.index(False) == of_first_order + 1
    assert states[-1].x_t.isfinite().all()
    assert len(calls) == sampler(8).num_evaluations(degradation)


def test_ancestral_sampling_forgets_pure_noise() -> None:
    """At alpha_bar[T] = 0 the posterior of x_s is the forward process, whatever x_T is."""
    x_0_hat = normal(1)
    s = 30
    for x_T in (normal(2), 100 * normal(3)):
        x_s = step(
            Ancestral(), x_T, x_0_hat, 50, s, x_T, Gaussian(ZERO), Generator().manual_seed(4)
        )
        expected = ZERO[s, 0] * x_0_hat + ZERO[s, 1] * normal(4)
        torch.testing.assert_close(x_s, expected, rtol=0, atol=1e-12)

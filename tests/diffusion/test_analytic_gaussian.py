"""Every Gaussian sampler against the truth: Gaussian data, the network in closed form.

Each pixel is a coordinate of its own. x_t ~ N(m_t, s_t^2) with m_t = sqrt(ab_t) mean and
s_t^2 = ab_t variance + 1 - ab_t; what the optimal network makes of x_t is affine in it, and so is
each sampler, whose law is therefore known exactly, without drawing.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from theory_support import exact_gaussian, restorer_of, seeded, step
from torch import Tensor

from thaw.diffusion.predictions import Noise
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Sampler
from thaw.diffusion.samplers.gaussian import DDIM, Ancestral
from thaw.diffusion.samplers.grids import Quadratic
from thaw.diffusion.samplers.solvers import DPMSolver, Heun, Solver
from thaw.diffusion.schedules import linear

T = 1000
SCHEDULE = linear(T)
MEAN = torch.tensor([0.3, -0.2, 0.0, 0.1], dtype=torch.float64)
DEVIATION = torch.tensor([0.2, 0.5, 0.35, 1.0], dtype=torch.float64)


def marginal(
    t: int, mean: Tensor = MEAN, deviation: Tensor = DEVIATION, schedule: Tensor = SCHEDULE
) -> tuple[Tensor, Tensor]:
    """(m_t, s_t), the mean and deviation of x_t."""
    a, b = schedule[t]
    return a * mean, torch.hypot(a * deviation, b)


def optimal(deviation: Tensor = DEVIATION, schedule: Tensor = SCHEDULE) -> Restorer:
    """The restorer whose network is E[eps | x_t]."""

    def network(x_t: Tensor, t: Tensor) -> Tensor:
        a, b = schedule[t].view(-1, 2, 1, 1, 1).unbind(1)
        m_t, s_t = a * MEAN, torch.hypot(a * deviation, b)
        return b / s_t**2 * (x_t - m_t)

    return restorer_of(network, exact_gaussian(schedule), Noise())


def law_of_samples(sampler: DDIM, restorer: Restorer) -> tuple[Tensor, Tensor]:
    """Mean and deviation ``[4]`` of x_0 from x_T ~ N(0, I), for a sampler of single steps.

    Each step is x_s = a x_t + b + d z. Two starting points give a and b, two draws give d.
    """
    mean, variance = torch.zeros(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    x_t = torch.tensor([0.0, 1.0], dtype=torch.float64).view(2, 1, 1, 1).expand(2, 1, 1, 4)
    z_1, z_2 = (torch.randn(x_t.shape, generator=seeded(k), dtype=x_t.dtype) for k in (1, 2))
    for t, s in pairwise(sampler.times(restorer.degradation.num_steps)):
        x_0_hat = restorer(x_t, torch.full((2,), t))
        x_1, x_2 = (
            step(sampler, x_t, x_0_hat, t, s, x_t, restorer.degradation, seeded(k)) for k in (1, 2)
        )
        deviation = ((x_1 - x_2) / (z_1 - z_2))[0].view(4)
        at_0, at_1 = (x_1 - deviation * z_1).view(2, 4)
        mean = at_0 + (at_1 - at_0) * mean
        variance = (at_1 - at_0) ** 2 * variance + deviation**2
    return mean, variance.sqrt()


def law_of_flow(sampler: DDIM, restorer: Restorer) -> tuple[Tensor, Tensor]:
    """Mean and deviation ``[4]`` of x_0 from x_T ~ N(0, I), where nothing is drawn: two paths."""
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64).view(2, 1, 1, 1).expand(2, 1, 1, 4)
    at_0, at_1 = sampler.sample(restorer, ends, ends).view(2, 4)
    return at_0, (at_1 - at_0).abs()


def worst(law: tuple[Tensor, Tensor]) -> float:
    """The largest error of mean or deviation, in units of the data's deviation."""
    mean, deviation = law
    return torch.cat([(mean - MEAN) / DEVIATION, deviation / DEVIATION - 1]).abs().max().item()


@pytest.mark.parametrize(
    ("sampler", "tolerance"),
    [
        (DDIM(clip=False), 0.01),
        (DDIM(100, clip=False), 0.08),
        (DDIM(100, clip=False, grid=Quadratic()), 0.06),
        (DDIM(eta=0.5, clip=False), 0.015),
        (DDIM(eta=1.0, clip=False), 0.03),
        (Ancestral(clip=False), 0.03),
        (Ancestral(variance="large", clip=False), 0.01),
    ],
    ids=["ddim", "ddim-100", "ddim-100-quadratic", "half", "one", "small", "large"],
)
def test_data_comes_out_with_its_mean_and_deviation(sampler: DDIM, tolerance: float) -> None:
    """All that is left is the error of finite steps."""
    assert worst(law_of_samples(sampler, optimal())) < tolerance


@pytest.mark.parametrize(
    ("sampler", "tolerance"),
    [
        (DPMSolver(20, clip=False, grid=Quadratic()), 0.04),
        (DPMSolver(100, clip=False, grid=Quadratic()), 0.002),
        (Heun(20, clip=False, grid=Quadratic()), 0.03),
        (Heun(100, clip=False, grid=Quadratic()), 0.002),
    ],
    ids=["dpm-20", "dpm-100", "heun-20", "heun-100"],
)
def test_solvers_need_few_steps_for_it(sampler: Solver, tolerance: float) -> None:
    error = worst(law_of_flow(sampler, optimal()))
    assert error < tolerance
    ddim = DDIM(sampler.num_steps, clip=False, grid=Quadratic())
    assert error < worst(law_of_flow(ddim, optimal())) / 3


@pytest.mark.parametrize(
    ("variance", "deviation"),
    [("small", 0.0), ("large", 1.0)],
    ids=["small-is-exact-for-a-point", "large-is-exact-for-unit-variance"],
)
def test_the_variances_are_exact_for_the_data_that_ho_names(
    variance: str, deviation: float
) -> None:
    """Ho et al., section 3.2: one step leads from the law of x_t to that of x_s, exactly."""
    data = torch.full((4,), deviation, dtype=torch.float64)
    restorer, sampler = optimal(deviation=data), Ancestral(variance=variance, clip=False)
    x_t = torch.tensor([0.0, 1.0], dtype=torch.float64).view(2, 1, 1, 1).expand(2, 1, 1, 4)
    for t, s in ((T, 900), (500, 499), (30, 10), (2, 1)):
        x_0_hat = restorer(x_t, torch.full((2,), t))
        m_t, s_t = marginal(t, deviation=data)
        m_s, s_s = marginal(s, deviation=data)
        draws = torch.randn(x_t.shape, generator=seeded(1), dtype=torch.float64)
        fresh = sampler.deviation(*map(restorer.degradation.scales_at, (t, s))).item()
        x_s = step(sampler, x_t, x_0_hat, t, s, x_t, restorer.degradation, seeded(1))
        at_0, at_1 = (x_s - fresh * draws).view(2, 4)
        torch.testing.assert_close(at_0 + (at_1 - at_0) * m_t, m_s, rtol=0, atol=1e-10)
        spread = (((at_1 - at_0) * s_t) ** 2 + fresh**2).sqrt()
        torch.testing.assert_close(spread, s_s, rtol=0, atol=1e-10)


# So many steps that 20, 40, 80 and 160 of them are evenly spaced, with linear's T = 1000 noise.
FINE = linear(1600, 1e-4 / 1.6, 0.02 / 1.6)


def quantiles(states: list[tuple[int, Tensor]]) -> Tensor:
    """(x_t - m_t) / s_t of each state, ``[states, 2, 4]``."""
    rows = []
    for t, x_t in states:
        m_t, s_t = marginal(t, schedule=FINE)
        rows.append((x_t.view(2, 4) - m_t) / s_t)
    return torch.stack(rows)


def drift(sampler: Sampler, restorer: Restorer, until: int) -> float:
    """How far the probability-flow ODE, as solved, carries a quantile away by time ``until``."""
    x_T = torch.tensor([-1.5, 0.7], dtype=torch.float64).view(2, 1, 1, 1).expand(2, 1, 1, 4)
    states = [(s.t, s.x_t) for s in sampler.trajectory(restorer, x_T, x_T) if s.t >= until]
    assert states[-1][0] == until
    z = quantiles(states)
    return (z - z[0]).abs().max().item()


@pytest.mark.parametrize(
    ("sampler", "order"), [(DDIM, 1), (DPMSolver, 2), (Heun, 2)], ids=["ddim", "dpm", "heun"]
)
def test_the_flow_keeps_each_quantile_to_the_solvers_order(
    sampler: Callable[..., DDIM], order: int
) -> None:
    """dx/dt of the ODE is that of m_t + s_t z at constant z (Song et al. 2021, equation 13).

    Down to T / 10: from there into sigma = 0, where the last step's own error rules.
    """
    restorer = optimal(schedule=FINE)
    errors = [drift(sampler(n, clip=False), restorer, 160) for n in (40, 80, 160)]
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.25)
    assert errors[-1] < 0.02 / 10 ** (order - 1)


@pytest.mark.parametrize(
    "sampler",
    [DDIM(50, clip=False), DDIM(50, eta=1.0, clip=False), Ancestral(50, clip=False)],
    ids=["ddim", "ddim-eta-1", "ancestral"],
)
def test_drawn_samples_have_the_computed_law(sampler: DDIM) -> None:
    restorer = optimal()
    x_T = torch.randn(4000, 1, 1, 4, generator=seeded(1), dtype=torch.float64)
    x_0 = sampler.sample(restorer, x_T, x_T, seeded(2)).view(-1, 4)
    mean, deviation = law_of_samples(sampler, restorer)
    # Four standard errors of a mean and of a deviation.
    assert ((x_0.mean(0) - mean).abs() < 4 * deviation / math.sqrt(4000)).all()
    assert ((x_0.std(0) / deviation - 1).abs() < 4 / math.sqrt(8000)).all()

"""Straight paths and EDM: side by side with diffusers, and the same model on another scale.

x_t / r_t with r_t^2 = signal_t^2 + sigma_t^2 is a process that keeps the variance. So whatever is
computed with a table has to be what is computed with the table of x_t / r_t.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    EDMEulerScheduler,
    FlowMatchEulerDiscreteScheduler,
)
from scipy import stats
from theory_support import exact_gaussian, random_images, restorer_of, seeded
from torch import Tensor

from thaw.diffusion.degradations.bridge import Bridge
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.likelihood import Bound
from thaw.diffusion.objectives import MSE
from thaw.diffusion.predictions import EDM, Clean, Flow, Velocity
from thaw.diffusion.priors.normal import Normal
from thaw.diffusion.samplers.base import Sampler
from thaw.diffusion.samplers.gaussian import DDIM, VARIANCES, Ancestral
from thaw.diffusion.samplers.grids import Linspace, Quadratic
from thaw.diffusion.samplers.solvers import DPMSolver, Heun
from thaw.diffusion.samplers.straight import InDI
from thaw.diffusion.schedules import (
    alpha_bar_of,
    cosine,
    edm,
    flow,
    linear,
    variance_preserving,
)
from thaw.diffusion.timesteps import LogNormal
from thaw.diffusion.weightings import P2, MinSNR
from thaw.pixels import PixelRange

SHAPE = (4, 1, 6, 5)
T = 1000
TABLES = {"flow": flow(T), "shifted": flow(T, shift=3.0), "edm": edm(T)}


def normal(seed: int) -> Tensor:
    return torch.randn(SHAPE, generator=seeded(seed), dtype=torch.float64)


def output(x: Tensor, t: Tensor) -> Tensor:
    """Some network that tells its times apart."""
    return (0.8 * x + t.view(-1, 1, 1, 1) / 400).sin()


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_the_path_of_a_flow_is_that_of_diffusers(shift: float) -> None:
    published: Any = FlowMatchEulerDiscreteScheduler(shift=shift)
    table = flow(T, shift)
    torch.testing.assert_close(table[1:, 1].flip(0), published.sigmas.double(), rtol=0, atol=1e-6)
    x_0, noise = torch.rand(SHAPE), torch.randn(SHAPE)
    steps = torch.tensor([1000, 700, 20, 1])
    theirs = published.scale_noise(x_0, published.timesteps[T - steps], noise)
    torch.testing.assert_close(Gaussian(table)(x_0, steps, noise), theirs, rtol=0, atol=1e-5)
    torch.testing.assert_close(
        Flow().target(x_0, noise, steps, Gaussian(table)), noise - x_0, rtol=0, atol=0
    )


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("num_steps", [1, 8, 50])
def test_the_loop_of_a_flow_is_theirs(shift: float, num_steps: int) -> None:
    """Their Euler steps are DDIM's."""
    sampler = DDIM(num_steps, clip=False)
    times = sampler.times(T)[:-1]
    published: Any = FlowMatchEulerDiscreteScheduler(shift=shift)
    published.set_timesteps(sigmas=[t / T for t in times])
    x_T = torch.randn(SHAPE, generator=seeded(1))
    theirs = x_T
    for t, index in zip(times, published.timesteps, strict=True):
        u = output(theirs, torch.full((4,), t))
        theirs = published.step(u, index, theirs).prev_sample
    restorer = restorer_of(output, Gaussian(flow(T, shift)), Flow())
    torch.testing.assert_close(sampler.sample(restorer, x_T, x_T), theirs, rtol=0, atol=2e-5)


@pytest.mark.parametrize("start", [1000, 960])
@pytest.mark.parametrize("num_steps", [2, 10, 20])
def test_dpm_solver_on_a_flow_is_theirs(start: int, num_steps: int) -> None:
    sampler = DPMSolver(num_steps, clip=False)
    times = sampler.times(start)
    published: Any = DPMSolverMultistepScheduler(
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        final_sigmas_type="zero",
    )
    published.set_timesteps(num_steps)
    published.sigmas = flow(T)[times, 1]
    theirs = normal(1)
    for t, index in zip(times, published.timesteps, strict=False):
        theirs = published.step(output(theirs, torch.full((4,), t)), index, theirs).prev_sample
    restorer = restorer_of(output, exact_gaussian(flow(T)), Flow())
    x_0 = sampler.sample(restorer, normal(1), normal(1), start=start)
    torch.testing.assert_close(x_0, theirs, rtol=0, atol=2e-6)


def published_edm(sigma_data: float, num_steps: int) -> Any:
    published: Any = EDMEulerScheduler(sigma_data=sigma_data)
    published.set_timesteps(num_steps)
    return published


def test_the_sigmas_of_edm_and_where_it_starts_are_theirs() -> None:
    published = published_edm(0.5, T)
    torch.testing.assert_close(
        edm(T)[:, 1].flip(0), published.sigmas.double(), rtol=2e-5, atol=1e-9
    )
    x_T, eps = Normal((1, 6, 5)).draw(4, Gaussian(edm(T)), seeded())
    torch.testing.assert_close(x_T, eps * published.init_noise_sigma)
    assert torch.equal(eps, torch.randn(SHAPE, generator=seeded()))


@pytest.mark.parametrize("sigma_data", [0.5, 0.2])
def test_preconditioning_is_theirs(sigma_data: float) -> None:
    published = published_edm(sigma_data, T)
    degradation, prediction = exact_gaussian(edm(T)), EDM(sigma_data).double()
    x_t, F = normal(1), normal(2)
    noises = published.precondition_noise(edm(T)[[1, T], 1])
    for t in (1, 40, 500, T):
        sigma, steps = edm(T)[t, 1], torch.full((4,), t)
        given, time = prediction.network_input(x_t, steps, degradation)
        torch.testing.assert_close(
            given, published.precondition_inputs(x_t, sigma), rtol=1e-7, atol=0
        )
        torch.testing.assert_close(
            prediction.decode(F, x_t, steps, degradation),
            published.precondition_outputs(x_t, F, sigma),
            rtol=1e-6,
            atol=1e-9,
        )
        # Their c_noise, brought to the steps that networks embed.
        c_noise = published.precondition_noise(sigma)
        share = (c_noise - noises[0]) / (noises[1] - noises[0])
        assert time.tolist() == pytest.approx([1 + (T - 1) * share.item()] * 4, rel=1e-6)


def test_the_loss_of_edm_is_karras() -> None:
    """(sigma^2 + sigma_data^2) / (sigma sigma_data)^2 |D - x_0|^2, of their network and draws."""
    degradation, data = exact_gaussian(edm(T)), 0.4
    restorer = restorer_of(output, degradation, EDM(data).double())
    x_0, draws = random_images(*SHAPE), seeded(3)
    timesteps = LogNormal(-1.2, 1.2)
    loss = MSE(timesteps=timesteps)(restorer, x_0, seeded(3))
    t, factors = timesteps.draw(4, degradation, draws, torch.device("cpu"))
    sigma = edm(T)[t, 1].view(-1, 1, 1, 1)
    x_t = x_0 + sigma * torch.randn(SHAPE, generator=draws, dtype=torch.float64)
    weight = (sigma**2 + data**2) / (sigma * data) ** 2
    expected = (weight * (restorer(x_t, t) - x_0) ** 2).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert (factors == 1).all()


def test_sigma_data_is_the_deviation_of_the_images_and_travels_with_the_weights() -> None:
    images = torch.randint(0, 256, (2500, 1, 4, 4), generator=seeded(), dtype=torch.uint8)
    restorer = restorer_of(output, Gaussian(edm(T)), EDM())
    restorer.fit(images)
    expected = PixelRange(-0.5, 0.5).from_uint8(images).std()
    state = restorer.state_dict()
    torch.testing.assert_close(state["prediction.sigma_data"], expected, rtol=1e-4, atol=0)
    given = EDM(0.25)
    given.fit(images, PixelRange(-0.5, 0.5))
    assert given.sigma_data == 0.25


@pytest.mark.parametrize("sigma_data", [0.5, 0.2])
def test_the_loop_of_edm_is_theirs(sigma_data: float) -> None:
    """28 evenly spaced of 1,000 steps are their 28. Their Euler steps are DDIM's."""
    num_steps = 28
    published = published_edm(sigma_data, num_steps)
    sampler = DDIM(num_steps, clip=False, grid=Linspace())
    degradation, prediction = exact_gaussian(edm(T)), EDM(sigma_data).double()
    times = sampler.times(T)
    published.sigmas = edm(T)[times, 1]
    x_T = 80 * normal(1)
    theirs = x_T
    for t, index in zip(times, published.timesteps, strict=False):
        given = published.scale_model_input(theirs, index)
        _, time = prediction.network_input(theirs, torch.full((4,), t), degradation)
        theirs = published.step(output(given, time), index, theirs).prev_sample
    x_0 = sampler.sample(restorer_of(output, degradation, prediction), x_T, x_T)
    torch.testing.assert_close(x_0, theirs, rtol=0, atol=1e-5)


def test_heun_on_edm_is_karras_algorithm_1() -> None:
    sampler = Heun(10, clip=False, grid=Linspace())
    degradation, prediction = exact_gaussian(edm(T)), EDM(0.5).double()
    restorer = restorer_of(output, degradation, prediction)
    x, times = 80 * normal(1), sampler.times(T)

    def slope(x: Tensor, t: int) -> Tensor:
        return (x - restorer(x, torch.full((4,), t))) / edm(T)[t, 1]

    for t, s in pairwise(times):
        h = edm(T)[s, 1] - edm(T)[t, 1]
        ahead = x + h * slope(x, t)
        x = x + h * (slope(x, t) + slope(ahead, s)) / 2 if s else ahead
    x_0 = sampler.sample(restorer, 80 * normal(1), normal(1))
    torch.testing.assert_close(x_0, x, rtol=0, atol=1e-9)


def test_velocity_is_edm_for_unit_variance() -> None:
    for table in (edm(50), cosine(50)):
        degradation, t = exact_gaussian(table), torch.tensor([1, 20, 40, 50])
        x_0, noise = random_images(*SHAPE), normal(2)
        torch.testing.assert_close(
            EDM(1.0).double().target(x_0, noise, t, degradation),
            -Velocity().target(x_0, noise, t, degradation),
            rtol=0,
            atol=1e-12,
        )


def test_a_flow_is_the_bridge_to_noise_and_its_steps_are_indis() -> None:
    table = flow(20)
    bridge = Bridge(SHAPE[1:], exact_gaussian(flow(1)), num_steps=20)
    gaussian, x_0, noise = exact_gaussian(table), random_images(*SHAPE), normal(1)
    for t in range(21):
        steps = torch.full((4,), t)
        torch.testing.assert_close(
            bridge(x_0, steps, noise), gaussian(x_0, steps, noise), rtol=0, atol=1e-15
        )
    by_indi = InDI().sample(restorer_of(output, bridge), noise, noise)
    by_ddim = DDIM().sample(restorer_of(output, gaussian), noise, noise)
    torch.testing.assert_close(by_indi, by_ddim, rtol=0, atol=1e-12)


def scaled(table: Tensor) -> tuple[Tensor, Tensor]:
    """The table of x_t / r_t, which keeps the variance, and r ``[T + 1]``."""
    return variance_preserving(alpha_bar_of(table)), table.norm(dim=1)


SAMPLERS: list[Sampler] = [
    DDIM(12),
    DDIM(12, eta=0.6),
    Ancestral(12),
    Ancestral(12, variance="large"),
    DPMSolver(12),
    Heun(12),
    DPMSolver(9, grid=Quadratic()),
]


@pytest.mark.parametrize(
    "sampler", SAMPLERS, ids=lambda sampler: sampler.describe(Gaussian(flow(T)))
)
@pytest.mark.parametrize("name", TABLES)
def test_every_sampler_is_that_of_the_scaled_process(name: str, sampler: Sampler) -> None:
    table = TABLES[name]
    same, r = scaled(table)

    def on_scale(y: Tensor, t: Tensor) -> Tensor:
        return output(y * r[t].view(-1, 1, 1, 1), t)

    ours = sampler.trajectory(
        restorer_of(output, exact_gaussian(table)), r[T] * normal(1), normal(1), seeded(2)
    )
    theirs = sampler.trajectory(
        restorer_of(on_scale, exact_gaussian(same)), normal(1), normal(1), seeded(2)
    )
    for x, y in zip(ours, theirs, strict=True):
        torch.testing.assert_close(x.x_t / r[x.t], y.x_t, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", TABLES)
def test_weights_and_bits_are_those_of_the_scaled_process(name: str) -> None:
    """But for the decoder, whose deviation is on the scale of x_1."""
    table = TABLES[name][:: T // 50]
    same, r = scaled(table)
    for weighting in (MinSNR(), P2()):
        ours, theirs = (
            weighting(exact_gaussian(each), Clean(), torch.arange(1, 51)) for each in (table, same)
        )
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    wide = PixelRange(-1.0, 1.0)
    x_0 = wide.from_uint8(torch.randint(0, 256, SHAPE, generator=seeded()).to(torch.uint8)).double()

    def on_scale(y: Tensor, t: Tensor) -> Tensor:
        return output(y * r[t].view(-1, 1, 1, 1), t)

    functions: list[tuple[Tensor, Callable[[Tensor, Tensor], Tensor]]]
    functions = [(table, output), (same, on_scale)]
    ours, theirs = (
        Bound(restorer_of(function, exact_gaussian(each), Clean(), wide)).terms(x_0, seeded(1))
        for each, function in functions
    )
    for variance in VARIANCES:
        bits, expected = ours[variance][:, 1:], theirs[variance][:, 1:]
        torch.testing.assert_close(bits, expected, rtol=1e-6, atol=1e-9)
        assert bits.isfinite().all()


@pytest.mark.parametrize(
    ("table", "mean", "deviation"),
    [(flow(T), 0.0, 1.0), (flow(T), -0.5, 0.7), (edm(T), -1.2, 1.2), (linear(T), 0.0, 1.0)],
    ids=["flow", "flow-early", "edm", "linear"],
)
def test_steps_are_drawn_by_a_normal_log_ratio(
    table: Tensor, mean: float, deviation: float
) -> None:
    """With a flow, tau is sigmoid(N): Kolmogorov-Smirnov, at a thousandth."""
    degradation = Gaussian(table)
    t, factors = LogNormal(mean, deviation).draw(20_000, degradation, seeded(), torch.device("cpu"))
    assert t.min() >= 1
    assert t.max() <= T
    assert (factors == 1).all()
    signal, sigma = table[t].T
    share = stats.kstest(np.log(sigma / signal), stats.norm(mean, deviation).cdf).statistic
    # Beside what chance leaves, the steps of the table.
    assert share < 1.95 / 20_000**0.5 + 0.004


@pytest.mark.parametrize("last", [2, 10, T])
def test_the_last_step_of_a_flow_is_drawn_too(last: int) -> None:
    """Where tau is nearest to 1."""
    timesteps = LogNormal(1.0, 2.0)
    t, _ = timesteps.draw(20_000, exact_gaussian(flow(last)), seeded(), torch.device("cpu"))
    tau = (1.0 + 2.0 * torch.randn(20_000, generator=seeded()).double()).sigmoid()
    assert torch.equal(t == last, tau > 1 - 0.5 / last)
    assert (t == last).any()


def test_steps_by_the_ratio_follow_no_other_law() -> None:
    """A wrong mean is found by the test above."""
    t, _ = LogNormal(0.1, 1.0).draw(20_000, Gaussian(flow(T)), seeded(), torch.device("cpu"))
    signal, sigma = flow(T)[t].T
    assert stats.kstest(np.log(sigma / signal), stats.norm(0, 1).cdf).statistic > 0.03

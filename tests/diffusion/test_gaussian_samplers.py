"""DDIM and ancestral sampling: against each other, Ho et al.'s formulas, Bayes, and the truth."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from theory_support import exact_gaussian, from_betas, restorer_of, step
from torch import Generator, Tensor

from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.predictions import Noise
from thaw.diffusion.samplers.gaussian import DDIM, Ancestral
from thaw.diffusion.schedules import alpha_bar_of, cosine, linear

SHAPE = (3, 1, 4, 5)
few = settings(max_examples=40, deadline=None, derandomize=True)


def seeded(seed: int = 7) -> Generator:
    return Generator().manual_seed(seed)


def normal(seed: int) -> Tensor:
    return torch.randn(*SHAPE, generator=seeded(seed), dtype=torch.float64)


def some_network(x_t: Tensor, t: Tensor) -> Tensor:
    return 0.9 * x_t + 0.1 * (3 * x_t + t.view(-1, 1, 1, 1) / 50).sin()


def test_ddim_without_noise_is_algorithm_2_step_by_step() -> None:
    """The whole trajectory: Algorithm 2 written out, its noise inferred anew at each step."""
    schedule = linear(60)
    degradation = exact_gaussian(schedule)
    restorer = restorer_of(some_network, degradation, Noise())
    x_t = normal(1)
    for t in range(60, 0, -1):
        steps = torch.full((3,), t)
        x_0_hat = restorer(x_t, steps).clamp(-0.5, 0.5)
        signal, sigma = schedule[t]
        noise = (x_t - signal * x_0_hat) / sigma
        x_t = x_t - degradation(x_0_hat, steps, noise) + degradation(x_0_hat, steps - 1, noise)
    x_0 = DDIM(eta=0.0).sample(restorer, normal(1), normal(1))
    torch.testing.assert_close(x_0, x_t, rtol=0, atol=1e-11)


BETAS = torch.linspace(1e-4, 0.02, 30, dtype=torch.float64).tolist()


@pytest.mark.parametrize("t", [1, 2, 15, 30])
@pytest.mark.parametrize(
    ("sampler", "is_large"),
    [(Ancestral(), False), (Ancestral(variance="large"), True), (DDIM(eta=1.0), False)],
    ids=["ancestral-small", "ancestral-large", "ddim-eta-1"],
)
def test_a_step_is_ddpms_posterior(sampler: DDIM, is_large: bool, t: int) -> None:
    """Ho et al., equations 6 and 7, from the betas alone."""
    ab_t, ab_s = (math.prod(1 - beta for beta in BETAS[:k]) for k in (t, t - 1))
    beta = BETAS[t - 1]
    x_t, x_0_hat = normal(1), normal(2)
    mean = math.sqrt(ab_s) * beta / (1 - ab_t) * x_0_hat
    mean = mean + math.sqrt(1 - beta) * (1 - ab_s) / (1 - ab_t) * x_t
    variance = beta if is_large and t > 1 else (1 - ab_s) / (1 - ab_t) * beta
    degradation = Gaussian(from_betas(torch.tensor(BETAS, dtype=torch.float64)))
    x_s = step(sampler, x_t, x_0_hat, t, t - 1, x_t, degradation, seeded())
    expected = mean + math.sqrt(variance) * normal(7)
    torch.testing.assert_close(x_s, expected, rtol=0, atol=1e-10)


@given(st.data())
@few
def test_a_longer_step_is_the_posterior_by_bayes(data: st.DataObject) -> None:
    """q(x_s | x_t, x_0) is the product of N(x_s; x_0's) and the likelihood of x_t given x_s."""
    schedule = linear(100)
    t = data.draw(st.integers(2, 100))
    s = data.draw(st.integers(1, t - 1))
    ab_t, ab_s = alpha_bar_of(schedule)[[t, s]].tolist()
    ratio = ab_t / ab_s
    precision = 1 / (1 - ab_s) + ratio / (1 - ratio)
    x_t, x_0_hat = normal(1), normal(2)
    pulls = math.sqrt(ab_s) / (1 - ab_s) * x_0_hat + math.sqrt(ratio) / (1 - ratio) * x_t
    expected = pulls / precision + normal(7) / math.sqrt(precision)
    for sampler in (Ancestral(), DDIM(eta=1.0)):
        x_s = step(sampler, x_t, x_0_hat, t, s, x_t, Gaussian(schedule), seeded())
        torch.testing.assert_close(x_s, expected, rtol=0, atol=1e-9)


def test_ddim_at_eta_1_draws_the_samples_of_ancestral() -> None:
    restorer = restorer_of(some_network, Gaussian(linear(60)), Noise())
    x_T = normal(1)
    by_ddim = DDIM(eta=1.0).sample(restorer, x_T, x_T, seeded())
    by_ancestral = Ancestral().sample(restorer, x_T, x_T, seeded())
    by_large = Ancestral(variance="large").sample(restorer, x_T, x_T, seeded())
    torch.testing.assert_close(by_ddim, by_ancestral, rtol=0, atol=1e-12)
    assert (by_large - by_ancestral).abs().max() > 1e-3


def test_eta_scales_the_deviation_and_keeps_the_marginal() -> None:
    """Song et al., equation 12: the direction and the fresh noise add up to 1 - alpha_bar_s."""
    schedule = linear(100)
    degradation = Gaussian(schedule)
    zero, eps = torch.zeros(SHAPE, dtype=torch.float64), normal(1)
    t, s = 80, 50
    ab_t, ab_s = alpha_bar_of(schedule)[[t, s]].tolist()
    posterior = (1 - ab_s) / (1 - ab_t) * (1 - ab_t / ab_s)
    x_t = math.sqrt(1 - ab_t) * eps
    for eta in (0.0, 0.3, 1.0):
        x_s = step(DDIM(eta=eta), x_t, zero, t, s, x_t, degradation, seeded())
        fresh = eta * math.sqrt(posterior)
        expected = math.sqrt(1 - ab_s - fresh**2) * eps + fresh * normal(7)
        torch.testing.assert_close(x_s, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("schedule", [linear(1000), cosine(1000), linear(1)], ids=len)
@pytest.mark.parametrize(
    "sampler", [Ancestral(), Ancestral(variance="large"), DDIM(eta=1.0)], ids=["s", "l", "d"]
)
def test_the_last_step_is_x_0_hat_and_draws_nothing(sampler: DDIM, schedule: Tensor) -> None:
    """At s = 0 the deviation is 0 by arithmetic: alpha_bar[0] is 1."""
    last, draws, degradation = len(schedule) - 1, seeded(), Gaussian(schedule)
    before = draws.get_state()
    for t in {1, last}:
        assert sampler.deviation(degradation.scales_at(t), degradation.scales_at(0)) == 0
        x_0 = step(sampler, normal(1), normal(2), t, 0, normal(1), degradation, draws)
        torch.testing.assert_close(x_0, normal(2), rtol=0, atol=0)
    assert torch.equal(draws.get_state(), before)

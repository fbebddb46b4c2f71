"""Gaussian noise: its equation, the clean end, batches, types."""

import math

import pytest
import torch
from diffusers import DDPMScheduler

from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.schedules import cosine, linear

SCHEDULES = {"linear": linear, "squaredcos_cap_v2": cosine}


@pytest.mark.parametrize("name", SCHEDULES)
def test_mixed_steps_are_those_of_diffusers(name: str) -> None:
    degradation = Gaussian(SCHEDULES[name](1000))
    x_0, noise = torch.rand(5, 1, 6, 4), torch.randn(5, 1, 6, 4)
    t = torch.tensor([1, 2, 500, 999, 1000])
    published = DDPMScheduler(num_train_timesteps=1000, beta_schedule=name)
    torch.testing.assert_close(
        degradation(x_0, t, noise), published.add_noise(x_0, noise, t - 1), rtol=0, atol=5e-6
    )


def test_tables_are_cast_once_from_float64() -> None:
    """sqrt(1 - alpha_bar) at t = 1 loses three digits if computed in float32."""
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    alpha_bar = [1.0, *torch.cumprod(1 - betas, 0).tolist()]
    degradation = Gaussian(linear(1000))
    for table, exact in (
        (degradation.signal, [math.sqrt(ab) for ab in alpha_bar]),
        (degradation.sigma, [math.sqrt(1 - ab) for ab in alpha_bar]),
    ):
        assert table.tolist() == pytest.approx(exact, rel=6.1e-8, abs=0)


def test_noise_is_standard_normal_and_the_generators() -> None:
    degradation = Gaussian(linear(10))
    x_0 = torch.zeros(50, 1, 40, 50)
    before = torch.random.get_rng_state()
    first, again, other = (
        degradation.draw_noise(x_0, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    # 100,000 draws: four standard errors of the mean and of the variance.
    assert abs(first.mean().item()) < 4 / math.sqrt(1e5)
    assert abs(first.var().item() - 1) < 4 * math.sqrt(2 / 1e5)


def test_x_T_counts_as_noise_also_where_the_schedule_ends_early() -> None:  # noqa: N802
    early = Gaussian(linear(30))
    assert early.leaves_nothing
    assert not early.ends_in_noise
    assert Gaussian(linear(1000)).ends_in_noise

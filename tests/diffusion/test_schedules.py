"""Schedules against the published implementation in diffusers, and their own identities."""

import math
import re
from collections.abc import Callable

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from thaw.diffusion.schedules import (
    alpha_bar_of,
    betas_of,
    cosine,
    linear,
    quadratic,
    sigmoid,
    table,
)

# By the names of diffusers, whose definitions these are.
BETAS = {"linear": linear, "scaled_linear": quadratic, "sigmoid": sigmoid}
SCHEDULES = BETAS | {"squaredcos_cap_v2": cosine}
Schedule = Callable[..., Tensor]


@pytest.mark.parametrize("timesteps", [1000, 100, 1])
@pytest.mark.parametrize("name", SCHEDULES)
def test_tables_are_those_of_diffusers(name: str, timesteps: int) -> None:
    alpha_bar = alpha_bar_of(SCHEDULES[name](timesteps))
    published = DDPMScheduler(num_train_timesteps=timesteps, beta_schedule=name)
    # Theirs are float32: one rounding in beta, one a factor in the product.
    torch.testing.assert_close(betas_of(alpha_bar), published.betas.double(), rtol=2e-6, atol=1e-7)
    torch.testing.assert_close(alpha_bar[1:], published.alphas_cumprod.double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
@given(timesteps=st.integers(1, 4000))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_the_table_starts_clean_and_only_falls(name: str, timesteps: int) -> None:
    alpha_bar = alpha_bar_of(SCHEDULES[name](timesteps))
    assert alpha_bar.shape == (timesteps + 1,)
    assert alpha_bar.dtype == torch.float64
    assert alpha_bar[0] == 1
    assert (alpha_bar.diff() < 0).all()
    assert alpha_bar[-1] > 0


def test_quadratic_with_the_ends_of_latent_diffusion_is_theirs() -> None:
    published = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    table = alpha_bar_of(quadratic(1000, beta_start=0.00085, beta_end=0.012))
    torch.testing.assert_close(table[1:], published.alphas_cumprod.double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("schedule", BETAS.values())
@pytest.mark.parametrize("timesteps", [1000, 100, 4000])
def test_rescaling_multiplies_each_beta(schedule: Schedule, timesteps: int) -> None:
    plain, scaled = (
        alpha_bar_of(schedule(timesteps, rescale=rescale)) for rescale in (False, True)
    )
    scale = 1000 / timesteps
    torch.testing.assert_close(betas_of(scaled), scale * betas_of(plain), rtol=1e-10, atol=0)
    assert timesteps != 1000 or scaled.equal(plain)


@pytest.mark.parametrize("schedule", BETAS.values())
@pytest.mark.parametrize("timesteps", [1, 10, 19])
def test_rescaling_a_beta_to_1_is_refused_with_what_works(
    schedule: Schedule, timesteps: int
) -> None:
    with pytest.raises(ValueError, match="^rescale=true takes .* below 1") as error:
        schedule(timesteps, beta_start=0.02, rescale=True)
    fewest = re.search(r"use timesteps=(\d+) or more", str(error.value))
    assert fewest is not None
    fitting = schedule(int(fewest[1]), beta_start=0.02, rescale=True)
    assert betas_of(alpha_bar_of(fitting)).max() < 1
    with pytest.raises(ValueError, match="rescale"):
        schedule(int(fewest[1]) - 1, beta_start=0.02, rescale=True)


@pytest.mark.parametrize("schedule", SCHEDULES.values())
@pytest.mark.parametrize("timesteps", [1000, 100, 2])
def test_zero_terminal_snr_is_that_of_diffusers(schedule: Schedule, timesteps: int) -> None:
    plain, table = (
        alpha_bar_of(schedule(timesteps, zero_terminal_snr=zero)) for zero in (False, True)
    )
    published = rescale_zero_terminal_snr(betas_of(plain))
    torch.testing.assert_close(betas_of(table), published, rtol=1e-9, atol=1e-13)
    assert table[0] == 1
    assert table[1].item() == pytest.approx(plain[1].item(), rel=1e-14)
    assert table[-1] == 0
    assert (table.diff() < 0).all()


@pytest.mark.parametrize("schedule", SCHEDULES.values())
def test_one_step_cannot_have_zero_terminal_snr(schedule: Schedule) -> None:
    with pytest.raises(ValueError, match="^zero_terminal_snr=true.*timesteps=2 or more"):
        schedule(1, zero_terminal_snr=True)


def test_a_table_is_taken_as_it_is_given() -> None:
    assert alpha_bar_of(table([0.9, 0.5, 0.1])).tolist() == pytest.approx([1.0, 0.9, 0.5, 0.1])
    given = linear(50)
    torch.testing.assert_close(table(alpha_bar_of(given)[1:].tolist()), given, rtol=1e-12, atol=0)


@pytest.mark.parametrize("alpha_bar", [[], [0.5, 0.5], [0.5, 0.6], [1.0, 0.5], [0.5, 0.0]])
def test_a_table_that_does_not_fall_within_0_and_1_is_refused(alpha_bar: list[float]) -> None:
    with pytest.raises(ValueError, match="alpha_bar must"):
        table(alpha_bar)


def test_cosine_is_its_closed_form_until_beta_is_capped() -> None:
    """Nichol and Dhariwal, equation 17: no product is needed where no beta exceeds the cap."""
    num_steps, offset = 1000, 0.008

    def f(t: int) -> float:
        return math.cos((t / num_steps + offset) / (1 + offset) * math.pi / 2) ** 2

    alpha_bar = alpha_bar_of(cosine(num_steps))
    expected = torch.tensor([f(t) / f(0) for t in range(num_steps)], dtype=torch.float64)
    torch.testing.assert_close(alpha_bar[:-1], expected, rtol=1e-10, atol=0)
    assert betas_of(alpha_bar)[-1].item() == pytest.approx(0.999, rel=1e-12)

"""Schedules against the published implementation in diffusers, and their own identities."""

import math

import pytest
import torch
from diffusers import DDPMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from thaw.diffusion.schedules import alpha_bar_of, betas_of, cosine, linear

SCHEDULES = {"linear": linear, "squaredcos_cap_v2": cosine}


@pytest.mark.parametrize("timesteps", [1000, 100, 1])
@pytest.mark.parametrize("name", SCHEDULES)
def test_tables_are_those_of_diffusers(name: str, timesteps: int) -> None:
    alpha_bar = SCHEDULES[name](timesteps)
    published = DDPMScheduler(num_train_timesteps=timesteps, beta_schedule=name)
    # Theirs are float32: one rounding in beta, one a factor in the product.
    torch.testing.assert_close(betas_of(alpha_bar), published.betas.double(), rtol=2e-6, atol=1e-7)
    torch.testing.assert_close(alpha_bar[1:], published.alphas_cumprod.double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
@given(timesteps=st.integers(1, 4000))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_the_table_starts_clean_and_only_falls(name: str, timesteps: int) -> None:
    alpha_bar = SCHEDULES[name](timesteps)
    assert alpha_bar.shape == (timesteps + 1,)
    assert alpha_bar.dtype == torch.float64
    assert alpha_bar[0] == 1
    assert (alpha_bar.diff() < 0).all()
    assert alpha_bar[-1] > 0


def test_linear_is_the_product_written_out() -> None:
    alpha_bar = linear(3, beta_start=0.1, beta_end=0.5)
    expected = [1, 0.9, 0.9 * 0.7, 0.9 * 0.7 * 0.5]
    assert alpha_bar.tolist() == pytest.approx(expected, rel=1e-15)


def test_cosine_is_its_closed_form_until_beta_is_capped() -> None:
    """Nichol and Dhariwal, equation 17: no product is needed where no beta exceeds the cap."""
    num_steps, offset = 1000, 0.008

    def f(t: int) -> float:
        return math.cos((t / num_steps + offset) / (1 + offset) * math.pi / 2) ** 2

    alpha_bar = cosine(num_steps)
    expected = torch.tensor([f(t) / f(0) for t in range(num_steps)], dtype=torch.float64)
    torch.testing.assert_close(alpha_bar[:-1], expected, rtol=1e-10, atol=0)
    assert betas_of(alpha_bar)[-1].item() == pytest.approx(0.999, rel=1e-12)


@given(st.lists(st.floats(1e-4, 0.9), min_size=1, max_size=30))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_betas_come_back_from_their_table(betas: list[float]) -> None:
    given_betas = torch.tensor(betas, dtype=torch.float64)
    torch.testing.assert_close(
        betas_of(alpha_bar_of(given_betas)), given_betas, rtol=1e-10, atol=1e-14
    )


@pytest.mark.parametrize("timesteps", [0, -1, 10.0, True, "100", None, 10_000_000])
@pytest.mark.parametrize("schedule", SCHEDULES.values())
def test_a_bad_number_of_steps_is_refused(schedule, timesteps: object) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=r"schedule\.timesteps must be a whole number from 1"):
        schedule(timesteps)


@pytest.mark.parametrize("beta", [0, 1, -0.1, math.nan, math.inf, "0.1", None, True])
@pytest.mark.parametrize("key", ["beta_start", "beta_end"])
def test_a_beta_outside_its_range_is_refused(key: str, beta: object) -> None:
    with pytest.raises(ValueError, match=rf"schedule\.{key} must be a number between 0 and 1"):
        linear(10, **{key: beta})


@pytest.mark.parametrize(
    ("key", "value"),
    [("offset", -0.1), ("offset", 1.5), ("max_beta", 0), ("max_beta", 1), ("max_beta", math.nan)],
)
def test_a_bad_shape_of_the_cosine_is_refused(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"schedule\.{key} must be a number between 0 and 1"):
        cosine(10, **{key: value})

"""Zero-terminal-SNR schedules: x_T is noise alone, and sampling from it stays finite and right."""

from collections.abc import Callable

import pytest
import torch
from theory_support import exact_gaussian, random_images, restorer_of
from torch import Generator, Tensor

from thaw.diffusion.predictions import Clean, Prediction, Velocity
from thaw.diffusion.samplers.gaussian import DDIM, Ancestral
from thaw.diffusion.schedules import alpha_bar_of, cosine, linear, quadratic, sigmoid

SCHEDULES = (linear, quadratic, sigmoid, cosine)
SAMPLERS = (DDIM(), DDIM(5), DDIM(7, eta=1.0), Ancestral(), Ancestral(variance="large"))
SHAPE = (4, 1, 6, 5)


def table_of(schedule: Callable[..., Tensor], timesteps: int = 50) -> Tensor:
    return schedule(timesteps, zero_terminal_snr=True)


def output_for(
    prediction: Prediction, table: Tensor, optimal: Callable[[Tensor, Tensor], Tensor]
) -> Callable[[Tensor, Tensor], Tensor]:
    """The network that says E[x_0 | x_t] in the terms of ``prediction``."""

    def network(x_t: Tensor, t: Tensor) -> Tensor:
        ab = alpha_bar_of(table)[t].view(-1, 1, 1, 1)
        x_0_hat = optimal(x_t, ab)
        if isinstance(prediction, Clean):
            return x_0_hat
        return (ab.sqrt() * x_t - x_0_hat) / (1 - ab).sqrt()

    return network


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: type(sampler).__name__)
@pytest.mark.parametrize("prediction", [Clean(), Velocity()])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_state_is_finite_and_the_perfect_restorer_leads_to_its_image(
    schedule: Callable[..., Tensor], prediction: Prediction, sampler: DDIM
) -> None:
    table, x_0 = table_of(schedule), random_images(*SHAPE)
    network = output_for(prediction, table, lambda x_t, ab: x_0)
    restorer = restorer_of(network, exact_gaussian(table), prediction)
    x_T = torch.randn(SHAPE, dtype=torch.float64)
    states = list(sampler.trajectory(restorer, x_T, x_T, Generator().manual_seed(0)))
    assert all(state.x_t.isfinite().all() for state in states)
    torch.testing.assert_close(states[-1].x_t, x_0, rtol=0, atol=1e-12)


@pytest.mark.parametrize("prediction", [Clean(), Velocity()])
def test_gaussian_data_comes_out_with_its_mean_and_deviation(prediction: Prediction) -> None:
    """DDIM with the optimal network is affine in x_T: 0 maps to the mean, 1 a deviation above."""
    mean, deviation, table = 0.3, 0.2, table_of(linear, 1000)

    def optimal(x_t: Tensor, ab: Tensor) -> Tensor:
        gain = ab.sqrt() * deviation**2 / (ab * deviation**2 + 1 - ab)
        return mean + gain * (x_t - ab.sqrt() * mean)

    network = output_for(prediction, table, optimal)
    restorer = restorer_of(network, exact_gaussian(table), prediction)
    x_T = torch.tensor([0.0, 1.0], dtype=torch.float64).view(2, 1, 1, 1)
    at_0, at_1 = DDIM(clip=False).sample(restorer, x_T, x_T).flatten().tolist()
    assert at_0 == pytest.approx(mean, abs=1e-12)
    assert at_1 - at_0 == pytest.approx(deviation, rel=0.02)

"""Weightings: the closed forms, diffusers' SNR, and one weight whatever the network predicts."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from theory_support import exact_gaussian, random_images, restorer_of
from torch import Generator, Tensor

from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.objectives import MSE
from thaw.diffusion.predictions import Clean, Noise, Prediction, Velocity
from thaw.diffusion.schedules import cosine, linear, quadratic
from thaw.diffusion.weightings import P2, MinSNR, Weighting

SCHEDULES = {"linear": linear, "squaredcos_cap_v2": cosine, "scaled_linear": quadratic}
PREDICTIONS: dict[str, Prediction[Any]] = {
    "sample": Clean(),
    "epsilon": Noise(),
    "v_prediction": Velocity(),
}


def weights(weighting: Weighting[Any], prediction: Prediction[Any], schedule: Tensor) -> Tensor:
    """Of every step from 1 to T."""
    found = weighting(Gaussian(schedule), prediction, torch.arange(1, len(schedule)))
    assert found.shape == (len(schedule) - 1, 1, 1, 1)
    return found.flatten()


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("kind", PREDICTIONS)
@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_is_that_of_diffusers(schedule: str, kind: str, gamma: float) -> None:
    """As their training scripts use ``compute_snr``, which is float32 like their tables."""
    published = DDPMScheduler(num_train_timesteps=1000, beta_schedule=schedule)
    snr = compute_snr(published, torch.arange(1000))
    divisor = {"sample": 1, "epsilon": snr, "v_prediction": snr + 1}[kind]
    found = weights(MinSNR(gamma), PREDICTIONS[kind], SCHEDULES[schedule](1000))
    torch.testing.assert_close(found, snr.clamp(max=gamma) / divisor, rtol=5e-4, atol=5e-4)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("gamma", "k"), [(1.0, 1.0), (0.5, 1.0), (2.0, 3.0)])
def test_p2_is_the_published_formula_of_diffusers_snr(
    schedule: str, gamma: float, k: float
) -> None:
    published = DDPMScheduler(num_train_timesteps=1000, beta_schedule=schedule)
    snr = compute_snr(published, torch.arange(1000))
    found = weights(P2(gamma, k), Noise(), SCHEDULES[schedule](1000))
    torch.testing.assert_close(found, (k + snr) ** -gamma, rtol=5e-4, atol=5e-4)


@pytest.mark.parametrize("weighting", [MinSNR(), P2()], ids=["min_snr", "p2"])
def test_one_guess_of_the_image_costs_the_same_whatever_the_network_predicts(
    weighting: Weighting,
) -> None:
    schedule = linear(100)
    degradation, x_0 = exact_gaussian(schedule), random_images(16, 1, 6, 4)
    x_0_hat = x_0 + random_images(16, 1, 6, 4, seed=1)

    def guess(kind: str) -> Callable[[Tensor, Tensor], Tensor]:
        def network(x_t: Tensor, t: Tensor) -> Tensor:
            signal, sigma = degradation.scales(t)
            eps_hat = (x_t - signal * x_0_hat) / sigma
            velocity = signal * eps_hat - sigma * x_0_hat
            return {"sample": x_0_hat, "epsilon": eps_hat, "v_prediction": velocity}[kind]

        return network

    clean, noise, velocity = (
        MSE(weighting)(
            restorer_of(guess(kind), degradation, prediction), x_0, Generator().manual_seed(0)
        ).item()
        for kind, prediction in PREDICTIONS.items()
    )
    assert noise == pytest.approx(clean, rel=1e-9)
    assert velocity == pytest.approx(clean, rel=1e-9)
    t = torch.randint(1, 101, (16,), generator=Generator().manual_seed(0))
    snr = ((schedule[:, 0] / schedule[:, 1]) ** 2)[t]
    of_clean = snr.clamp(max=5) if isinstance(weighting, MinSNR) else snr / (1 + snr)
    expected = (of_clean * (x_0_hat - x_0).square().mean((1, 2, 3))).mean().item()
    assert clean == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("weighting", [MinSNR(), P2()], ids=["min_snr", "p2"])
@pytest.mark.parametrize("prediction", [Clean(), Velocity()])
def test_weights_are_finite_with_zero_terminal_snr(
    weighting: Weighting, prediction: Prediction
) -> None:
    found = weights(weighting, prediction, linear(50, zero_terminal_snr=True))
    assert found.isfinite().all()
    assert (found[:-1] > 0).all()
    assert found[-1] == 0

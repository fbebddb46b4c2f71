"""Predictions: what is decoded from the target is the clean image."""

from collections.abc import Callable

import pytest
import torch
from diffusers import DDPMScheduler
from theory_support import exact_gaussian, random_images
from torch import Tensor, nn

from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.predictions import EDM, Clean, Flow, Noise, Prediction, Velocity
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.schedules import cosine, edm, flow, linear
from thaw.pixels import PixelRange

SHAPE = (2, 6, 4)


@pytest.mark.parametrize("prediction", [Velocity(), Flow()])
@pytest.mark.parametrize(
    "schedule", [linear(100), cosine(1000), linear(9, zero_terminal_snr=True), flow(9), edm(9)]
)
def test_what_is_predicted_decodes_to_the_clean_image(
    prediction: Prediction, schedule: Tensor
) -> None:
    """To float64's last digits at every step: it divides by nothing small."""
    degradation, t = exact_gaussian(schedule), torch.arange(len(schedule))
    x_0 = random_images(len(t), *SHAPE)
    noise = degradation.draw_noise(x_0)
    x_t = degradation(x_0, t, noise)
    target = prediction.target(x_0, noise, t, degradation)
    rounding = 1e-14 * schedule.max().item() ** 2
    torch.testing.assert_close(
        prediction.decode(target, x_t, t, degradation), x_0, rtol=0, atol=rounding
    )


@pytest.mark.parametrize(("name", "schedule"), [("linear", linear), ("squaredcos_cap_v2", cosine)])
def test_the_velocity_is_that_of_diffusers(name: str, schedule: Callable[[int], Tensor]) -> None:
    x_0, noise = torch.rand(5, *SHAPE), torch.randn(5, *SHAPE)
    t = torch.tensor([1, 2, 500, 999, 1000])
    published = DDPMScheduler(num_train_timesteps=1000, beta_schedule=name)
    torch.testing.assert_close(
        Velocity().target(x_0, noise, t, Gaussian(schedule(1000))),
        published.get_velocity(x_0, noise, t - 1),
        rtol=0,
        atol=5e-6,
    )


@pytest.mark.parametrize("prediction", [Clean(), Noise(), Velocity(), Flow(), EDM(0.3).double()])
@pytest.mark.parametrize("schedule", [linear(100), edm(100, sigma_max=2.0)], ids=["linear", "edm"])
def test_the_error_of_the_clean_image_is_that_of_the_decoded_output(
    prediction: Prediction, schedule: Tensor
) -> None:
    degradation, t = exact_gaussian(schedule), torch.arange(1, 101)
    x_0, error = random_images(100, *SHAPE), random_images(100, *SHAPE, seed=1)
    noise = degradation.draw_noise(x_0)
    output = prediction.target(x_0, noise, t, degradation) + error
    x_0_hat = prediction.decode(output, degradation(x_0, t, noise), t, degradation)
    expected = prediction.error_of_clean(degradation.scales(t)) * error**2
    torch.testing.assert_close((x_0_hat - x_0) ** 2, expected, rtol=1e-9, atol=1e-13)


def test_a_network_of_double_precision_is_asked_in_double_and_heard_in_single() -> None:
    """What trainer.precision=64-true leaves behind, outside of Lightning's steps."""
    degradation = LineAverage(SHAPE, "column", "random", condition="mask")
    network = nn.Conv2d(3, 2, 3, padding=1).double()
    seen = []

    class Asked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network

        def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
            seen.append(x_t)
            return self.inner(x_t)

    restorer = Restorer(Asked(), degradation, Clean(), PixelRange(-0.5, 0.5))
    x_t, t = torch.rand(5, *SHAPE), torch.arange(5)
    noise = degradation.draw_noise(x_t)
    x_0_hat = restorer(x_t, t, noise)
    exact = restorer(x_t.double(), t, noise)
    assert (x_0_hat.dtype, exact.dtype) == (torch.float32, torch.float64)
    assert torch.equal(x_0_hat, exact.float())
    assert torch.equal(*seen)


@pytest.mark.parametrize(("prediction", "kind"), [(Noise(), "Noising"), (EDM(), "Gaussian")])
def test_a_degradation_without_noise_is_refused(prediction: Prediction, kind: str) -> None:
    degradation = LineAverage(SHAPE, "row", "random")
    with pytest.raises(ValueError, match=f"needs a degradation of the kind {kind}, got Line"):
        Restorer(nn.Identity(), degradation, prediction, PixelRange(-0.5, 0.5))


@pytest.mark.parametrize("schedule", [linear(50, zero_terminal_snr=True), linear(50_000)])
def test_noise_is_refused_where_x_T_holds_no_image(schedule: Tensor) -> None:  # noqa: N802
    """50,000 steps without rescaling end in float32's 0 as well."""
    with pytest.raises(ValueError, match="x_T that is noise alone .* predict the velocity, the"):
        Restorer(nn.Identity(), Gaussian(schedule), Noise(), PixelRange(-0.5, 0.5))

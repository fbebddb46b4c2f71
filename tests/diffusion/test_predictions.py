"""Predictions: what is decoded from the target is the clean image."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.predictions import Clean, Noise, Prediction
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.schedules import cosine, linear
from thaw.pixels import PixelRange

SHAPE = (2, 6, 4)


@pytest.mark.parametrize(
    ("prediction", "degradation"),
    [
        (Clean(), Gaussian(linear(100))),
        (Clean(), LineAverage(SHAPE, "column", "random")),
        (Noise(), Gaussian(linear(100))),
        (Noise(), Gaussian(cosine(1000))),
    ],
    ids=["clean-gaussian", "clean-columns", "noise-linear", "noise-cosine"],
)
def test_the_target_decodes_to_the_clean_image(
    prediction: Prediction, degradation: Degradation, random_images: Callable[..., Tensor]
) -> None:
    x_0 = random_images(degradation.num_steps + 1, *SHAPE)
    t = torch.arange(degradation.num_steps + 1)
    noise = degradation.draw_noise(x_0)
    x_t = degradation(x_0, t, noise)
    target = prediction.target(x_0, noise, t, degradation)
    decoded = prediction.decode(target, x_t, t, degradation)
    # Dividing by sqrt(alpha_bar_T), 5e-5 for the cosine, costs four of float64's sixteen digits.
    torch.testing.assert_close(decoded, x_0, rtol=0, atol=1e-10)


def test_targets_are_what_their_names_say() -> None:
    degradation = Gaussian(linear(10))
    x_0, noise, t = torch.rand(3, *SHAPE), torch.randn(3, *SHAPE), torch.tensor([1, 5, 10])
    assert torch.equal(Clean().target(x_0, noise, t, degradation), x_0)
    assert torch.equal(Noise().target(x_0, noise, t, degradation), noise)


def test_the_restorer_decodes_what_its_network_says(
    restorer_of: Callable[..., Restorer], random_images: Callable[..., Tensor]
) -> None:
    degradation = Gaussian(linear(10))
    x_0, noise = random_images(3, *SHAPE), random_images(3, *SHAPE, seed=1)
    t = torch.tensor([1, 5, 10])
    x_t = degradation(x_0, t, noise)
    seen = []

    def network(x: Tensor, steps: Tensor) -> Tensor:
        seen.append((x, steps))
        return noise

    x_0_hat = restorer_of(network, degradation, Noise())(x_t, t)
    torch.testing.assert_close(x_0_hat, x_0, rtol=0, atol=1e-12)
    assert seen[0][0] is x_t
    assert seen[0][1] is t


def test_noise_of_a_degradation_without_noise_is_refused() -> None:
    degradation = LineAverage(SHAPE, "row", "random")
    with pytest.raises(
        ValueError,
        match=r"prediction=noise needs .*degradation=gaussian.*LineAverage.*use prediction=clean",
    ):
        Restorer(nn.Identity(), degradation, Noise(), PixelRange(-0.5, 0.5))

"""Restorers that are plain functions, in float64, for identities that hold to rounding."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.predictions import Clean, Prediction
from thaw.diffusion.restorer import Restorer
from thaw.pixels import PixelRange

Network = Callable[[Tensor, Tensor], Tensor]
RestorerOf = Callable[..., Restorer]


class Function(nn.Module):
    """A network that is a function ``(x_t, t) -> output``; one parameter says on which device."""

    def __init__(self, function: Network) -> None:
        super().__init__()
        self.function = function
        self.anchor = nn.Parameter(torch.zeros(()))

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return self.function(x_t, t)


@pytest.fixture(scope="session")
def restorer_of() -> RestorerOf:
    """Makes the restorer whose network is the given function."""

    def make(
        function: Network,
        degradation: Degradation,
        prediction: Prediction | None = None,
        pixel_range: PixelRange = PixelRange(-0.5, 0.5),  # noqa: B008 - an immutable tuple
    ) -> Restorer:
        return Restorer(Function(function), degradation, prediction or Clean(), pixel_range)

    return make


@pytest.fixture(scope="session")
def exact_gaussian() -> Callable[[Tensor], Gaussian]:
    """Makes a Gaussian degradation with float64 tables, so that identities hold to rounding."""

    def make(schedule: Tensor) -> Gaussian:
        degradation = Gaussian(schedule)
        degradation.signal = schedule.sqrt()
        degradation.sigma = (1 - schedule).sqrt()
        return degradation

    return make


@pytest.fixture
def random_images() -> Callable[..., Tensor]:
    """Images uniform in [-0.5, 0.5], float64, the same ones for the same seed."""

    def make(*shape: int, seed: int = 0) -> Tensor:
        draws = torch.Generator().manual_seed(seed)
        return torch.rand(*shape, generator=draws, dtype=torch.float64) - 0.5

    return make

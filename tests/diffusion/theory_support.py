"""Restorers that are plain functions, in float64, for identities that hold to rounding."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.predictions import Clean, Prediction
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Estimate, Path, Sampler
from thaw.diffusion.schedules import variance_preserving
from thaw.pixels import PixelRange

Network = Callable[[Tensor, Tensor], Tensor]
RANGE = PixelRange(-0.5, 0.5)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


class Function(nn.Module):
    """A network that is a function ``(x_t, t) -> output``; one parameter says on which device."""

    def __init__(self, function: Network) -> None:
        super().__init__()
        self.function = function
        self.anchor = nn.Parameter(torch.zeros(()))

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return self.function(x_t, t)


def restorer_of(
    function: Network,
    degradation: Degradation,
    prediction: Prediction | None = None,
    pixel_range: PixelRange = RANGE,
) -> Restorer:
    """The restorer whose network is the given function."""
    return Restorer(Function(function), degradation, prediction or Clean(), pixel_range)


def from_betas(betas: Tensor) -> Tensor:
    """The table that keeps the variance, ``[T + 1, 2]``, from T betas."""
    alpha_bar = torch.cumprod(1 - betas, 0)
    return variance_preserving(torch.cat([betas.new_ones(1), alpha_bar]))


def exact_gaussian(schedule: Tensor) -> Gaussian:
    """A Gaussian degradation with float64 tables, so that identities hold to rounding."""
    degradation = Gaussian(schedule)
    degradation.signal, degradation.sigma = schedule.unbind(1)
    return degradation


def random_images(*shape: int, seed: int = 0) -> Tensor:
    """Images uniform in [-0.5, 0.5], float64, the same ones for the same seed."""
    return torch.rand(*shape, generator=seeded(seed), dtype=torch.float64) - 0.5


def step(
    sampler: Sampler,
    x_t: Tensor,
    x_0_hat: Tensor,
    t: int,
    s: int,
    noise: Tensor,
    degradation: Degradation,
    generator: Generator | None = None,
) -> Tensor:
    """x_s from x_t and x_0_hat: a sampler's single step, from tensors alone."""
    restorer: Any = None
    path = Path(restorer, degradation, noise, generator)
    return sampler.step(Estimate(t, x_t, x_0_hat), s, path)


def restore(
    sampler: Sampler, restorer: Restorer, x_t: Tensor, t: int, noise: Tensor | None = None
) -> Tensor:
    """x_0_hat of images that are all at step t; the noise is x_t itself if None."""
    path = Path(restorer, restorer.degradation, x_t if noise is None else noise)
    return sampler.estimate(t, x_t, path).x_0_hat


def of_columns(values: Tensor) -> Tensor:
    """uint8 images ``[N, 1, 3, 4]`` whose columns have the given values ``[N, 4]``, rounded."""
    return RANGE.to_uint8(values)[:, None, None, :].expand(-1, 1, 3, 4).contiguous()


def columns_of(images: Tensor) -> Tensor:
    """float64 ``[N, 4]`` of images that are the same in each row."""
    torch.testing.assert_close(images, images[:, :, :1].expand_as(images), rtol=0, atol=1e-6)
    return images[:, 0, 0].double()

"""Priors: where a trajectory starts when an image is made from nothing."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from thaw.checks import check_whole
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.predictions import require_gaussian
from thaw.pixels import PixelRange


class Prior(nn.Module, ABC):
    """p(x_T), with the noise that belongs to each draw; its state travels in the checkpoint."""

    def check(self, degradation: Degradation) -> None:
        """Refuse a degradation whose fully degraded images this prior does not describe.

        Raises:
            ValueError: naming what is allowed.
        """

    def fit(self, images: Tensor, degradation: Degradation) -> None:
        """Learn from training images, uint8 ``[N, C, H, W]``, and what the degradation leaves."""

    @abstractmethod
    def draw(
        self, num_samples: int, degradation: Degradation, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """(x_T ``[n, C, H, W]``, its noise) on the generator's device."""


class Normal(Prior):
    """x_T ~ N(0, I), its own noise (Ho et al. 2020, section 2)."""

    def __init__(self, image_shape: Sequence[int]) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)

    def check(self, degradation: Degradation) -> None:
        require_gaussian(degradation, "prior=normal", "prior=empirical")

    def draw(
        self, num_samples: int, degradation: Degradation, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        x_T = torch.randn(
            num_samples, *self.image_shape, generator=generator, device=generator.device
        )
        return x_T, x_T


class Empirical(Prior):
    """x_T = D(x_0, T, noise), x_0 drawn with replacement from training images.

    A reference rather than a model: what it starts from is real. ``num_images`` training images
    (in an order given by ``seed``, repeated where there are fewer) are kept in the checkpoint.

    Raises:
        ValueError: num_images is not a whole number of at least 1.
    """

    images: Tensor

    def __init__(
        self,
        image_shape: Sequence[int],
        pixel_range: PixelRange,
        num_images: int = 10_000,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_whole("prior.num_images", num_images)
        self.pixel_range = pixel_range
        self.seed = seed
        self.register_buffer("images", torch.zeros(num_images, *image_shape, dtype=torch.uint8))

    def fit(self, images: Tensor, degradation: Degradation) -> None:
        order = torch.randperm(len(images), generator=Generator().manual_seed(self.seed))
        chosen = order[torch.arange(len(self.images)) % len(images)]
        self.images.copy_(images[chosen.to(images.device)])

    def draw(
        self, num_samples: int, degradation: Degradation, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        index = torch.randint(
            len(self.images), (num_samples,), generator=generator, device=generator.device
        )
        x_0 = self.pixel_range.from_uint8(self.images[index])
        noise = degradation.draw_noise(x_0, generator)
        t = torch.full((num_samples,), degradation.num_steps, device=x_0.device)
        return degradation(x_0, t, noise), noise

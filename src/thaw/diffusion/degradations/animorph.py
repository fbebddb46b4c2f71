"""Animorphosis: an image of another data set takes the place of Gaussian noise."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Generator, Tensor
from torch.nn import functional

from thaw.checks import Count, Seed, checked
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.schedules import NOTHING_LEFT, alpha_bar_of
from thaw.pixels import PixelRange

# Weights of red, green and blue in grey (ITU-R BT.601).
LUMA = (0.299, 0.587, 0.114)


class Images(Protocol):
    """Images of another data set, uint8 ``[N, C, H, W]``."""

    @property
    def images(self) -> Tensor: ...


@runtime_checkable
class Source(Protocol):
    """Another data set: its training and its test images, the same at every call."""

    def load(self) -> tuple[Images, Images]: ...


class Animorph(Degradation):
    """x_t = signal_t x_0 + sigma_t z, z an image of another data set.

    Bansal et al. 2022, section 5.3, where z are photographs of animals, T = 200 and the schedule is
    the cosine. Its alpha_bar_T is 6e-8, so x_T is z alone and shows nothing of x_0: even the
    empirical prior gives the restorer no image of the data that it is to generate.

    The noise is z, ``[B, C, H, W]``, drawn from a bank of training images of ``partners``, which is
    black until :meth:`fit` and is stored in the checkpoint.

    Args:
        schedule: (signal, sigma), float64 ``[T + 1, 2]``, from :mod:`thaw.diffusion.schedules`.
        partners: the other data set, read in :meth:`fit` only; resized, made grey or coloured.
        num_partners: size of the bank; images are repeated where there are fewer.
        seed: seed for the choice of the images in the bank.
    """

    signal: Tensor
    sigma: Tensor
    bank: Tensor

    @checked
    def __init__(
        self,
        image_shape: Sequence[int],
        pixel_range: PixelRange,
        schedule: Tensor,
        partners: Source,
        num_partners: Count = 5000,
        seed: Seed = 0,
    ) -> None:
        super().__init__()
        if schedule.max() > 1:
            raise ValueError(
                f"schedule must mix two images, with sigma up to 1, got one of {schedule.max():g}"
            )
        self.schedule = schedule
        self.num_steps = len(schedule) - 1
        self.leaves_nothing = alpha_bar_of(schedule[-1]).item() < NOTHING_LEFT
        self.pixel_range = pixel_range
        self.partners = partners
        self.seed = seed
        signal, sigma = schedule.float().unbind(1)
        self.register_buffer("signal", signal, persistent=False)
        self.register_buffer("sigma", sigma, persistent=False)
        self.register_buffer("bank", torch.zeros(num_partners, *image_shape, dtype=torch.uint8))

    def fit(self, images: Tensor) -> None:
        """Fill the bank from the partners' training images; ``images`` are not read."""
        partners, _ = self.partners.load()
        order = torch.randperm(len(partners.images), generator=Generator().manual_seed(self.seed))
        chosen = order[torch.arange(len(self.bank)) % len(order)]
        self.bank.copy_(converted(partners.images[chosen], self.bank.shape[1:]))

    def draw_noise(self, x_0: Tensor, generator: Generator | None = None) -> Tensor:
        size, device = (len(x_0),), x_0.device
        index = torch.randint(len(self.bank), size, generator=generator, device=device)
        return self.pixel_range.from_uint8(self.bank[index]).to(x_0.dtype)

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        signal, sigma = (table[t].view(-1, 1, 1, 1) for table in (self.signal, self.sigma))
        return (signal * x_0 + sigma * noise).to(x_0.dtype)


def converted(images: Tensor, image_shape: Sequence[int]) -> Tensor:
    """uint8 ``[N, C, H, W]`` in ``image_shape``: made grey or coloured, and resized smoothly."""
    channels, height, width = image_shape
    if (images.shape[1], channels) == (3, 1):
        luma = torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)
        images = (images * luma).sum(1, keepdim=True).round().to(torch.uint8)
    if tuple(images.shape[2:]) != (height, width):
        resized = functional.interpolate(
            images.float(), (height, width), mode="bilinear", antialias=True
        )
        images = resized.round().clamp(0, 255).to(torch.uint8)
    return images.expand(-1, channels, -1, -1)

"""Animorphosis: an image of another data set takes the place of Gaussian noise."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Generator, Tensor
from torch.nn import functional

from thaw.checks import check_seed, shown
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.schedules import NOTHING_LEFT, check_schedule
from thaw.pixels import PixelRange, check_bank

# What red, green and blue weigh in grey (ITU-R BT.601).
LUMA = (0.299, 0.587, 0.114)


class Images(Protocol):
    """Images of another data set, uint8 ``[N, C, H, W]``."""

    @property
    def images(self) -> Tensor: ...


class Partners(Protocol):
    """Another data set: its training and its test images, the same at every call."""

    def load(self) -> tuple[Images, Images]: ...


class Animorph(Degradation):
    """x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) z, z an image of another data set.

    Bansal et al. 2022, section 5.3, whose z are photographs of animals; T = 200 and the cosine
    schedule are their code's. Where alpha_bar_T is 0 (and there it is 6e-8), x_T is z alone: then
    prior=empirical shows the restorer no image of the data that it is to generate, and nothing is
    restored from x_T and scored.

    The images z are drawn from a bank of training images of ``partners``, which is black until
    :meth:`fit` and travels in the checkpoint. The noise is z, ``[B, C, H, W]``.

    Args:
        image_shape: (C, H, W), to which the partners are resized and made grey or coloured.
        pixel_range: of the images.
        schedule: alpha_bar, float64 ``[T + 1]``, from :mod:`thaw.diffusion.schedules`.
        partners: the other data set, such as a source of thaw; it is read in :meth:`fit` alone.
        num_partners: size of the bank; images are repeated where there are fewer.
        seed: of which partners are in the bank.

    Raises:
        ValueError: one of them is out of its range, or no such thing.
    """

    signal: Tensor
    sigma: Tensor
    bank: Tensor

    def __init__(
        self,
        image_shape: Sequence[int],
        pixel_range: PixelRange,
        schedule: Tensor,
        partners: Partners,
        num_partners: int = 5000,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_bank("degradation.num_partners", num_partners, image_shape)
        check_seed("degradation.seed", seed)
        check_schedule(schedule)
        if not hasattr(partners, "load"):
            raise ValueError(
                f"degradation.partners must be a source of images, got {shown(partners)}"
            )
        self.num_steps = len(schedule) - 1
        self.leaves_nothing = schedule[-1].item() < NOTHING_LEFT
        self.pixel_range = pixel_range
        self.partners = partners
        self.seed = seed
        self.register_buffer("signal", schedule.sqrt().float(), persistent=False)
        self.register_buffer("sigma", (1 - schedule).sqrt().float(), persistent=False)
        self.register_buffer("bank", torch.zeros(num_partners, *image_shape, dtype=torch.uint8))

    def fit(self, images: Tensor) -> None:
        """Fill the bank from the partners' training images; ``images`` are not looked at.

        Raises:
            OSError, ValueError: what the partners raise that cannot be read.
            ValueError: they have other channels than the images, and neither are grey.
        """
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
    """uint8 ``[N, C, H, W]`` as images of ``image_shape``: grey or coloured, resized smoothly.

    Raises:
        ValueError: the channels are neither the same, nor one of them 1 and the other 3.
    """
    channels, height, width = image_shape
    given = images.shape[1]
    if channels != given and given != 1 and (given, channels) != (3, 1):
        raise ValueError(
            f"degradation.partners has images of {given} channels, which cannot be made {channels}"
        )
    if (given, channels) == (3, 1):
        luma = torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)
        images = (images * luma).sum(1, keepdim=True).round().to(torch.uint8)
    if tuple(images.shape[2:]) != (height, width):
        resized = functional.interpolate(
            images.float(), (height, width), mode="bilinear", antialias=True
        )
        images = resized.round().clamp(0, 255).to(torch.uint8)
    return images.expand(-1, channels, -1, -1)

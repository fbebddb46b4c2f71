"""The bootstrap: real training images, degraded all the way."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from thaw.checks import Count, NotNegative, Seed, checked
from thaw.diffusion.degradations.base import Degradation, all_at
from thaw.diffusion.priors.base import Prior, shuffled
from thaw.pixels import PixelRange


class Empirical(Prior[Degradation]):
    """x_T = D(x_0, T, noise), x_0 drawn with replacement from training images.

    An upper reference rather than a model: what it starts from is real. ``num_images`` training
    images (in an order given by ``seed``, repeated where there are fewer) are kept in the
    checkpoint, for a class-conditional model with their labels. Images with partners, or of more
    than 8 bits, are large: they are kept once where there are fewer. The one prior that fits every
    degradation.
    """

    images: Tensor

    @checked
    def __init__(
        self,
        image_shape: Sequence[int],
        pixel_range: PixelRange,
        num_images: Count = 10_000,
        seed: Seed = 0,
        jitter: NotNegative = 0.0,
    ) -> None:
        super().__init__(jitter)
        self.pixel_range = pixel_range
        self.seed = seed
        self.register_buffer("images", torch.zeros(num_images, *image_shape, dtype=torch.uint8))

    def fit(self, images: Tensor, degradation: Degradation, labels: Tensor | None = None) -> None:
        if (images.dtype, images.shape[1:]) != (self.images.dtype, self.images.shape[1:]):
            num_kept = min(len(self.images), len(images))
            self.images = self.images.new_empty(num_kept, *images.shape[1:], dtype=images.dtype)
        order = shuffled(len(images), self.seed, labels, len(self.images))
        chosen = order[torch.arange(len(self.images)) % len(images)].to(images.device)
        self.images.copy_(images[chosen])
        if labels is not None:
            self.labels = labels[chosen].to(self.images.device)

    def draw_exactly(
        self,
        num_samples: int,
        degradation: Degradation,
        generator: Generator,
        labels: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        if labels is None:
            index = torch.randint(
                len(self.images), (num_samples,), generator=generator, device=generator.device
            )
        else:
            index = self._of_class(labels, generator)
        stored = self.pixel_range.from_uint8(self.images[index])
        x_0, noise = degradation.draw(stored, generator)
        return degradation(x_0, all_at(degradation.num_steps, x_0), noise), noise

    def label(self) -> str:
        return "empirical, real training images degraded"

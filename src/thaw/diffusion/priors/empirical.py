"""The bootstrap: real training images, degraded all the way."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from thaw.checks import check_seed
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.priors.base import Prior, shuffled
from thaw.pixels import PixelRange, check_bank


class Empirical(Prior):
    """x_T = D(x_0, T, noise), x_0 drawn with replacement from training images.

    An upper reference rather than a model: what it starts from is real. ``num_images`` training
    images (in an order given by ``seed``, repeated where there are fewer) are kept in the
    checkpoint, with their labels of a class-conditional model. The one prior that fits every
    degradation.

    Raises:
        ValueError: num_images, seed or jitter is out of its range.
    """

    images: Tensor

    def __init__(
        self,
        image_shape: Sequence[int],
        pixel_range: PixelRange,
        num_images: int = 10_000,
        seed: int = 0,
        jitter: float = 0.0,
    ) -> None:
        super().__init__(jitter)
        check_bank("prior.num_images", num_images, image_shape)
        check_seed("prior.seed", seed)
        self.pixel_range = pixel_range
        self.seed = seed
        self.register_buffer("images", torch.zeros(num_images, *image_shape, dtype=torch.uint8))

    def fit(self, images: Tensor, degradation: Degradation, labels: Tensor | None = None) -> None:
        order = shuffled(len(images), self.seed, labels, len(self.images))
        chosen = order[torch.arange(len(self.images)) % len(images)].to(images.device)
        self.images.copy_(images[chosen])
        self.labels = None if labels is None else labels[chosen].to(self.images.device)

    def draw_exactly(
        self,
        num_samples: int,
        degradation: Degradation,
        generator: Generator,
        labels: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        if labels is None:
            index = torch.randint(
                len(self.images), (num_samples,), generator=generator, device=generator.device
            )
        else:
            index = self._of_class(labels, generator)
        x_0 = self.pixel_range.from_uint8(self.images[index])
        noise = degradation.draw_noise(x_0, generator)
        t = torch.full((num_samples,), degradation.num_steps, device=x_0.device)
        return degradation(x_0, t, noise), noise

    def label(self) -> str:
        return "empirical, real training images degraded"

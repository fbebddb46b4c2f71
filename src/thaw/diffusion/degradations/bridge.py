"""Bridges: straight paths from an image to what any other degradation makes of it."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Generator, Tensor

from thaw.checks import NotNegative, checked
from thaw.diffusion.degradations.base import Degradation, all_at
from thaw.diffusion.degradations.straight import StraightPath


class Bridge(StraightPath):
    """The straight path to y = D(x_0, T_D, noise) + eps n.

    InDI (Delbracio and Milanfar 2023, arXiv 2303.11435), whose x_t = (1 - t) x + t y + t eps_t n
    has the constant eps_t = eps here; n is N(0, I), drawn once for a trajectory. For eps = 0 the
    end is the image fully degraded by D. How D gets there, and in how many steps T_D, does not
    matter.

    >>> from thaw.diffusion.degradations.fade import Fade
    >>> D = Bridge((1, 1, 2), Fade(), num_steps=4)
    >>> x_0, t = torch.tensor([0.0, 8.0]).view(1, 1, 1, 2), torch.tensor([1])
    >>> D(x_0, t, D.draw_noise(x_0)).flatten().tolist()
    [1.0, 7.0]

    Args:
        to: D, the degradation at the end of the path.
        num_steps: T.
        noise: eps, in the units of the images. It tells apart the images that share an x_T, so that
            one D(x_0, T_D) can lead to many images.
    """

    @checked
    def __init__(
        self,
        image_shape: Sequence[int],
        to: Degradation,
        num_steps: Annotated[int, Ge(2)] = 100,
        noise: NotNegative = 0.0,
    ) -> None:
        super().__init__()
        if noise and to.leaves_nothing:
            raise ValueError(
                f"noise must be 0 on the way to {type(to).__name__}, whose x_T shows nothing of "
                f"the image, got {noise}"
            )
        self.num_steps = num_steps
        self.noise = float(noise)
        self.other = to
        self.leaves_nothing = to.leaves_nothing
        self.ends_in_noise = to.ends_in_noise
        self.noise_is_known = to.noise_is_known
        self.takes_partners = to.takes_partners
        self.condition = to.condition
        # What D draws for an image: all that tells it from the n that follows it in one tensor.
        channels, *sides = image_shape
        images = torch.zeros(1, channels * (1 + to.takes_partners), *sides)
        _, drawn = to.draw(images, Generator().manual_seed(0))
        self._shape = drawn.shape[1:]
        self._whole = None if drawn.is_floating_point() else drawn.dtype

    @property
    def end(self) -> Degradation:
        return self.other.end

    def fit(self, images: Tensor) -> None:
        self.other.fit(images)

    def draw(self, images: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        x_0, own = self.other.draw(images, generator)
        return x_0, self._joined(own, x_0, generator)

    def draw_noise(self, x_0: Tensor, generator: Generator | None = None) -> Tensor:
        """The noise of D; with eps above 0 ``[B, n]``, all of it and then n, float32 or wider."""
        return self._joined(self.other.draw_noise(x_0, generator), x_0, generator)

    def draw_degraded(
        self, images: Tensor, t: int, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """At T from what D made of images, to which eps n is added here."""
        if t == self.num_steps:
            degraded, own = self.other.draw_degraded(images, self.other.num_steps, generator)
            noise = self._joined(own, images, generator)
            _, added = self._split(images, noise)
            return degraded + added, noise
        if self.noise or self.takes_partners:
            raise ValueError(
                f"degraded images are at the end of this path, t = T = {self.num_steps}: leave out "
                f"t={t}, or give the clean images"
            )
        return super().draw_degraded(images, t, generator)

    def _joined(self, own: Tensor, x_0: Tensor, generator: Generator | None) -> Tensor:
        """The noise of D, and n behind it."""
        if not self.noise:
            return own
        wide = torch.promote_types(x_0.dtype, torch.float32)
        n = torch.randn(x_0.shape, generator=generator, dtype=wide, device=x_0.device)
        return torch.cat([own.flatten(1).to(wide), n.flatten(1)], dim=1)

    def y(self, x_0: Tensor, noise: Tensor) -> Tensor:
        own, added = self._split(x_0, noise)
        degraded: Tensor = self.other(x_0, self._last(x_0), own)
        return degraded + added

    def mask(self, x_t: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        own, _ = self._split(x_t, noise)
        return self.tau(x_t, t) * self.other.mask(x_t, self._last(x_t), own)

    def remainder(self, x_0: Tensor) -> Tensor:
        """That of D: what x_T shows whatever the noise."""
        return self.other.remainder(x_0)

    def complete(self, remainder: Tensor, noise: Tensor) -> Tensor:
        own, added = self._split(remainder, noise)
        return self.other.complete(remainder, own) + added

    def _last(self, x: Tensor) -> Tensor:
        return all_at(self.other.num_steps, x)

    def _split(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor | float]:
        """The noise of D, and eps n of the shape of the images x."""
        if not self.noise:
            return noise, 0.0
        own, n = noise.tensor_split([self._shape.numel()], dim=1)
        own = own.reshape(len(own), *self._shape).to(self._whole or x.dtype)
        return own, self.noise * n.reshape(x.shape).to(x.dtype)

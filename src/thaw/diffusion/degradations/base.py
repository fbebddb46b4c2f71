"""The contract of every degradation: x_t = D(x_0, t, noise), t a whole number from 0 to T."""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Generator, Tensor, nn

Condition = Literal["mask"]
# A singular value below this share of the largest tells nothing: x_t is rounded to a share of 6e-8
# in float32, and the inverse of anything smaller would show that.
SMALLEST = 3e-4


class Degradation(nn.Module, ABC):
    """x_t = D(x_0, t, noise) with D(x_0, 0, noise) = x_0 (Bansal et al. 2022, section 3).

    The noise is an argument, drawn once for a whole trajectory, so that D(., t, noise) and
    D(., s, noise) belong together. Constructors may ask for ``image_shape``, (C, H, W), and
    ``pixel_range``, (low, high) of the images; ``num_steps`` is T.
    """

    num_steps: int
    """T, the step at which the image is fully degraded."""

    is_projection: bool = False
    """Whether each D(., t, noise) is a projection and all are nested: D_s D_t = D_max(s, t)."""

    leaves_nothing: bool = False
    """Whether x_T shows nothing of x_0; no restoration from x_T is then scored."""

    schedule: Tensor | None = None
    """(signal, sigma), float64 ``[T + 1, 2]`` on the CPU; None where there is no single one."""

    ends_in_noise: bool = False
    """Whether x_T is noise alone for every practical purpose."""

    noise_is_known: bool = True
    """Whether images are restored with the noise known, as Algorithms 1 and 2 require."""

    takes_partners: bool = False
    """Whether images come with partners, ``[B, 2C, H, W]``: see :meth:`draw`."""

    is_linear: bool = False
    """Whether each D(., t, noise) is linear, up to a constant, with its :meth:`pseudo_inverse`."""

    is_mask: bool = False
    """Whether it is linear and makes each pixel of x_t of the same pixel of x_0 alone."""

    condition: Condition | None = None
    """The network's input beside x_t: ``mask`` adds :meth:`mask` as a channel, None nothing."""

    @property
    def end(self) -> "Degradation":
        """The degradation that makes its x_T: itself, or the one that a bridge leads to."""
        return self

    def fit(self, images: Tensor) -> None:
        """Fill buffers from training images, uint8 ``[N, C, H, W]``, once, before training.

        Where a data set says so they are float32, see :class:`thaw.data.sources.ImageSet`, and
        where :attr:`takes_partners` they are ``[N, 2C, H, W]``.
        """

    def draw(self, images: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """(x_0, noise): where the trajectories of images begin, and what each needs besides.

        Images are x_0 ``[B, C, H, W]``, and the noise is :meth:`draw_noise`'s; where
        :attr:`takes_partners` they are ``[B, 2C, H, W]``, x_0 and then its partner.
        """
        return images, self.draw_noise(images, generator)

    def draw_degraded(
        self, images: Tensor, t: int, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """(x_t, its noise) of images ``[B, C, H, W]`` that come degraded to step t.

        Raises:
            ValueError: they do not tell the noise.
        """
        noise = self.draw_noise(images, generator)
        if noise.numel():
            raise ValueError(
                f"{type(self).__name__} degrades each image in its own random way, which images do "
                "not tell; give the originals, to be degraded here (degraded=false)"
            )
        return images, noise

    def draw_noise(self, x_0: Tensor, generator: Generator | None = None) -> Tensor:
        """The noise of one trajectory for each image; ``[B, 0]`` where D is deterministic.

        Of x_0 ``[B, C, H, W]`` it reads shape, dtype and device only. The generator is the global
        one if None.
        """
        return x_0.new_empty(len(x_0), 0)

    @abstractmethod
    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_t of each image at its own step, of x_0's shape, dtype and device.

        Args:
            x_0: images ``[B, C, H, W]``; left untouched.
            t: steps, int64 ``[B]``, each in 0..T.
            noise: what :meth:`draw` gave with these images.
        """

    def mask(self, x_t: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """How degraded each pixel is at step t: ``[B, 1, H, W]``, 0 (clean) to 1, of x_t's dtype.

        Only degradations with a choice of ``condition`` have a mask. Of images x_t ``[B, C, H, W]``
        it reads shape, dtype and device only.
        """
        raise NotImplementedError

    def pseudo_inverse(self, y: Tensor, t: int, noise: Tensor) -> Tensor:
        """A^+ y ``[B, C, H, W]`` of images y, A the linear part of D(., t, noise): A A^+ A = A.

        Only degradations that are :attr:`is_linear` have one. What A shrinks to less than
        ``SMALLEST`` of its largest singular value counts as lost.
        """
        raise NotImplementedError

    def remainder(self, x_0: Tensor) -> Tensor:
        """The part of x_0 that x_T shows whatever the noise, ``[B, C, H, W]``: here D(x_0, T).

        Density priors model it. A ``ValueError`` where x_T depends on the noise as well.
        """
        if self.takes_partners or (noise := self.draw_noise(x_0)).numel():
            raise ValueError(
                f"{type(self).__name__} degrades each image in its own way, so that no density "
                "describes x_T; use the empirical prior"
            )
        return self._at_last(x_0, noise)

    def complete(self, remainder: Tensor, noise: Tensor) -> Tensor:
        """x_T ``[B, C, H, W]`` from a (drawn) remainder and the noise of its trajectory.

        Where D is a projection so is the result: D(x_T, T, noise) = x_T.
        """
        return self._at_last(remainder, noise) if self.is_projection else remainder

    def _at_last(self, x_0: Tensor, noise: Tensor) -> Tensor:
        x_T: Tensor = self(x_0, all_at(self.num_steps, x_0), noise)
        return x_T


def all_at(t: int, images: Tensor) -> Tensor:
    """The steps, int64 ``[B]``, of images ``[B, ...]`` that are all at step t."""
    return torch.full((len(images),), t, device=images.device)

"""The contract of every degradation: x_t = D(x_0, t, noise), t a whole number from 0 to T."""

from abc import ABC, abstractmethod

import torch
from torch import Generator, Tensor, nn

from thaw.checks import MAX_ELEMENTS, check_count

MAX_STEPS = 1_000_000


def check_num_steps(num_steps: object, each: int = 1) -> None:
    """Refuse a T that is none, or whose tables, of ``each`` elements a step, would be too large.

    Raises:
        ValueError: naming what is allowed.
    """
    check_count("degradation.num_steps", num_steps, min(MAX_STEPS, MAX_ELEMENTS // each))


class Degradation(nn.Module, ABC):
    """x_t = D(x_0, t, noise) with D(x_0, 0, noise) = x_0 (Bansal et al. 2022, section 3).

    The degradation's own randomness is an argument, drawn once for a whole trajectory, so that
    D(., t, noise) and D(., s, noise) belong together.
    """

    num_steps: int
    """T, the step at which the image is fully degraded."""

    is_projection: bool = False
    """Whether each D(., t, noise) is a projection and all are nested: D_s D_t = D_max(s, t)."""

    leaves_nothing: bool = False
    """Whether x_T is taken to show nothing of x_0: then nothing is restored from it and scored."""

    schedule: Tensor | None = None
    """alpha_bar, float64 ``[T + 1]`` on the CPU; None where no single one holds for all pixels."""

    ends_in_noise: bool = False
    """Whether x_T is as good as N(0, I), so that no density of what it shows of x_0 is of use."""

    noise_is_known: bool = True
    """Whether images are restored with the noise known, as Algorithms 1 and 2 require."""

    condition: str | None = None
    """What the network is told beside x_t: None is nothing, ``mask`` a channel, :meth:`mask`."""

    def fit(self, images: Tensor) -> None:
        """Learn from training images, uint8 ``[N, C, H, W]``, once, before training.

        Most have nothing to learn. What is learnt are buffers: it travels in the checkpoint.
        """

    def draw_noise(self, x_0: Tensor, generator: Generator | None = None) -> Tensor:
        """The randomness of one trajectory an image; ``[B, 0]`` where D is deterministic.

        Args:
            x_0: images ``[B, C, H, W]``, read for shape, dtype and device only.
            generator: where the draw comes from; the global generator if None.
        """
        return x_0.new_empty(len(x_0), 0)

    @abstractmethod
    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Degrade each image by its own number of steps.

        Args:
            x_0: images ``[B, C, H, W]``; left untouched.
            t: steps, int64 ``[B]``, each in 0..T.
            noise: what :meth:`draw_noise` gave for these images.

        Returns:
            x_t, of x_0's shape, dtype and device.
        """

    def mask(self, x_t: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """How far each pixel is spoilt at step t: ``[B, 1, H, W]``, 0 (clean) to 1, of x_t's dtype.

        Only degradations with a ``condition`` to choose have one.

        Args:
            x_t: images ``[B, C, H, W]``, read for shape, dtype and device only.
            t: their steps, int64 ``[B]``.
            noise: what they were degraded with.
        """
        raise NotImplementedError(f"{type(self).__name__} has no mask")

    def remainder(self, x_0: Tensor) -> Tensor:
        """What x_T still shows of x_0, whatever the noise: ``[B, C, H, W]``, what priors model.

        Here D(x_0, T).

        Raises:
            ValueError: x_T depends on the noise as well.
        """
        noise = self.draw_noise(x_0)
        if noise.numel():
            raise ValueError(
                f"{type(self).__name__} fully degrades each image in a way of its own, which no "
                "density over x_T describes; use prior=empirical"
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

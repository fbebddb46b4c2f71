"""The contract of every degradation: x_t = D(x_0, t, noise), t a whole number from 0 to T."""

from abc import ABC, abstractmethod

from torch import Generator, Tensor, nn


class Degradation(nn.Module, ABC):
    """x_t = D(x_0, t, noise) with D(x_0, 0, noise) = x_0 (Bansal et al. 2022, section 3).

    The degradation's own randomness is an argument, drawn once for a whole trajectory, so that
    D(., t, noise) and D(., s, noise) belong together.
    """

    num_steps: int
    """T, the step at which the image is fully degraded."""

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

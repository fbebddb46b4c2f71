"""Fading an image to its mean, or its colours to grey."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from thaw.checks import Count, checked
from thaw.diffusion.degradations.base import SMALLEST, Degradation


class Fade(Degradation):
    """x_t = (1 - t / T) x_0 + t / T m(x_0), m the mean of each channel, which is kept.

    The simplest degradation in the sense of Bansal et al. 2022, section 3: x_T holds one number a
    channel. Only D(., T) is a projection.

    >>> D = Fade(num_steps=4)
    >>> x_0, t = torch.tensor([0.0, 8.0]).view(1, 1, 1, 2), torch.tensor([1])
    >>> D(x_0, t, D.draw_noise(x_0)).flatten().tolist()
    [1.0, 7.0]
    """

    is_linear = True

    mean_over: ClassVar[tuple[int, ...]] = (2, 3)
    """The dimensions of ``[B, C, H, W]`` that m is the mean over."""

    @checked
    def __init__(self, num_steps: Count = 20) -> None:
        super().__init__()
        self.num_steps = num_steps

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        mean = x_0.mean(self.mean_over, keepdim=True).expand_as(x_0)
        share = (t / self.num_steps).to(x_0.dtype).view(-1, 1, 1, 1)
        return torch.lerp(x_0, mean, share)

    def pseudo_inverse(self, y: Tensor, t: int, noise: Tensor) -> Tensor:
        """The mean, and the rest divided by the share 1 - t / T that is left of it."""
        left = 1 - t / self.num_steps
        mean = y.mean(self.mean_over, keepdim=True).expand_as(y)
        return mean + (y - mean) / left if left > SMALLEST else mean

    def complete(self, remainder: Tensor, noise: Tensor) -> Tensor:
        return self._at_last(remainder, noise)


class Decolour(Fade):
    """x_t = (1 - t / T) x_0 + t / T m(x_0), m the mean of the channels.

    The linear colour desaturation of Bansal et al. 2022 in closed form.

    Args:
        image_shape: (C, H, W), C at least 2.
    """

    mean_over = (1,)

    @checked
    def __init__(self, image_shape: Sequence[int], num_steps: Count = 20) -> None:
        super().__init__(num_steps)
        if image_shape[0] < 2:
            raise ValueError(
                f"Decolour needs images of 2 channels or more, got {image_shape[0]}: use images in "
                "colour"
            )

"""Fading an image to its mean."""

from typing import ClassVar

import torch
from torch import Tensor

from thaw.checks import Count, checked
from thaw.diffusion.degradations.base import Degradation


class Fade(Degradation):
    """x_t = (1 - t / T) x_0 + t / T m(x_0), m the mean of each channel, which is kept.

    The simplest degradation in the sense of Bansal et al. 2022, section 3: x_T holds one number a
    channel. Only D(., T) is a projection.

    Args:
        num_steps: T.
    """

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

    def complete(self, remainder: Tensor, noise: Tensor) -> Tensor:
        """The mean of a remainder, also of a drawn one: D(x_T, T) = x_T."""
        return self._at_last(remainder, noise)

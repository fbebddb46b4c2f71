"""Fading the colours to grey."""

from collections.abc import Sequence

import torch
from torch import Tensor

from thaw.checks import Count, checked
from thaw.diffusion.degradations.base import Degradation


class Decolour(Degradation):
    """x_t = (1 - t / T) x_0 + t / T m(x_0), m the mean of the channels.

    The linear colour desaturation of Bansal et al. 2022 in closed form. Only D(., T) is a
    projection.

    Args:
        image_shape: (C, H, W), C at least 2.
        num_steps: T.

    Raises:
        ValueError: the images have no colours.
    """

    @checked
    def __init__(self, image_shape: Sequence[int], num_steps: Count = 20) -> None:
        super().__init__()
        if image_shape[0] < 2:
            raise ValueError(
                f"Decolour needs images of 2 channels or more, got {image_shape[0]}: use images in "
                "colour"
            )
        self.num_steps = num_steps

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        grey = x_0.mean(1, keepdim=True).expand_as(x_0)
        share = (t / self.num_steps).to(x_0.dtype).view(-1, 1, 1, 1)
        return torch.lerp(x_0, grey, share)

    def complete(self, remainder: Tensor, noise: Tensor) -> Tensor:
        """Grey ``[B, C, H, W]``, also for a drawn remainder: D(x_T, T) = x_T."""
        return self._at_last(remainder, noise)

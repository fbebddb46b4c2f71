"""Fading the colours to grey."""

from collections.abc import Sequence

import torch
from torch import Tensor

from thaw.diffusion.degradations.base import Degradation, check_num_steps


class Decolour(Degradation):
    """x_t = (1 - t / T) x_0 + t / T m(x_0), m the mean of the channels.

    The linear colour desaturation of Bansal et al. 2022 in closed form. D(., T) alone is a
    projection: those before it are not.

    Args:
        image_shape: (C, H, W), C at least 2.
        num_steps: T.

    Raises:
        ValueError: num_steps is not a whole number of at least 1, or the images have no colours.
    """

    def __init__(self, image_shape: Sequence[int], num_steps: int = 20) -> None:
        super().__init__()
        check_num_steps(num_steps)
        if image_shape[0] < 2:
            raise ValueError(
                "degradation=decolour needs images of 2 channels or more, and these have "
                f"{image_shape[0]}; use data=cifar10, or data=image_folder with data.channels=3"
            )
        self.num_steps = num_steps

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        grey = x_0.mean(1, keepdim=True).expand_as(x_0)
        share = (t / self.num_steps).to(x_0.dtype).view(-1, 1, 1, 1)
        return torch.lerp(x_0, grey, share)

    def complete(self, remainder: Tensor, noise: Tensor) -> Tensor:
        """Grey ``[B, C, H, W]``, however a remainder was drawn: D(x_T, T) = x_T here too."""
        return self._at_last(remainder, noise)

"""Halving the resolution, step by step."""

from collections.abc import Sequence

import torch
from torch import Tensor

from thaw.checks import Count, checked
from thaw.diffusion.degradations.separable import Separable

FEWEST_PIXELS = 4


def num_halvings(side: int) -> int:
    """How often ``side`` pixels are halved before fewer than 4 are left; at least once."""
    # ceil(side / 2^h) >= 4 where 2^h <= (side - 1) / 3.
    return max(1, ((side - 1) // (FEWEST_PIXELS - 1)).bit_length() - 1)


def block_means(side: int, num_steps: int) -> Tensor:
    """The mean over blocks of 2^t pixels for t = 0..T, float64 ``[T + 1, side, side]``.

    The first block starts at pixel 0, the last one ends with the side.

    >>> block_means(side=4, num_steps=1)[1].tolist()[0]
    [0.5, 0.5, 0.0, 0.0]
    """
    block = torch.arange(side) // 2 ** torch.arange(num_steps + 1).unsqueeze(1)
    is_same = (block.unsqueeze(2) == block.unsqueeze(1)).double()
    return is_same / is_same.sum(2, keepdim=True)


class Pixelate(Separable):
    """D(x_0, t) gives each block of 2^t x 2^t pixels its mean (Bansal et al. 2022, section 4.3).

    Their super-resolution: halved t times and enlarged again, here by means and nearest neighbours,
    so that the D(., t) are nested projections, D_s D_t = D_max(s, t). The blocks start at the top
    left; where the side is not a multiple of 2^t the last ones are smaller.

    Args:
        num_steps: T, at most as many as leave one pixel; None halves as often as leaves at least 4
            pixels, rounded up, of the shorter side.
    """

    is_projection = True

    @checked
    def __init__(self, image_shape: Sequence[int], num_steps: Count | None = None) -> None:
        _, height, width = image_shape
        steps = num_halvings(min(height, width)) if num_steps is None else num_steps
        most = (max(height, width) - 1).bit_length()
        if steps > most:
            raise ValueError(
                f"num_steps must be at most {most}, where one pixel is left, got {steps}"
            )
        super().__init__(block_means(height, steps), block_means(width, steps))

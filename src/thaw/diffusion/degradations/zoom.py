"""Zooming into the middle of an image."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from thaw.checks import Count, checked
from thaw.diffusion.degradations.separable import Separable

Interpolation = Literal["nearest", "bilinear"]
# torch's names in one dimension; in nearest-exact pixels are squares, as they are in linear.
INTERPOLATIONS: dict[Interpolation, str] = {"nearest": "nearest-exact", "bilinear": "linear"}


def crop_sides(side: int, shorter: int, crop_size: int, num_steps: int) -> list[int]:
    """Pixels of the crop of ``side`` at t = 0..T: evenly down to the share crop_size / shorter.

    Rounded to whole pixels, half a pixel upwards.
    """
    whole = shorter * num_steps
    left = [side * (whole - t * (shorter - crop_size)) for t in range(num_steps + 1)]
    return [(2 * pixels + whole) // (2 * whole) for pixels in left]


def zoom_operators(side: int, sizes: Sequence[int], interpolation: Interpolation) -> Tensor:
    """Cropping the middle and enlarging it again, float64 ``[T + 1, side, side]``.

    Crops, of ``sizes`` pixels, that cannot be exactly in the middle are half a pixel nearer to the
    start.
    """
    pixels = torch.eye(side, dtype=torch.float64).unsqueeze(0)
    operators = []
    for size in sizes:
        start = (side - size) // 2
        crop = pixels[..., start : start + size]
        enlarged = functional.interpolate(crop, size=side, mode=INTERPOLATIONS[interpolation])
        operators.append(enlarged[0].T)
    return torch.stack(operators)


class Zoom(Separable):
    """x_t = E_t C_t x_0: C_t crops the middle of the image, E_t enlarges it to full size again.

    A degradation in the sense of Bansal et al. 2022, section 3; its inverse draws the surroundings.

    Args:
        crop_size: pixels of the shorter side that are left at T; the aspect ratio is kept.
        num_steps: T, at most one a pixel that is cropped; None crops one pixel at each border in
            each step.
        interpolation: ``nearest`` or ``bilinear``.
    """

    @checked
    def __init__(
        self,
        image_shape: Sequence[int],
        crop_size: Count = 8,
        num_steps: Count | None = None,
        interpolation: Interpolation = "bilinear",
    ) -> None:
        _, height, width = image_shape
        shorter = min(height, width)
        if crop_size >= shorter:
            raise ValueError(
                f"crop_size must be below the image's shorter side of {shorter}, got {crop_size}"
            )
        steps = max(1, (shorter - crop_size) // 2) if num_steps is None else num_steps
        if steps > shorter - crop_size:
            raise ValueError(
                f"num_steps must be at most {shorter - crop_size}, the pixels to crop, got {steps}"
            )
        rows, columns = (
            zoom_operators(side, crop_sides(side, shorter, crop_size, steps), interpolation)
            for side in (height, width)
        )
        super().__init__(rows, columns)

"""Zooming into the middle of an image."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from thaw.checks import check_choice, check_whole
from thaw.diffusion.degradations.separable import Separable

# To torch's name for each in one dimension; nearest-exact takes pixels for squares, as linear does.
INTERPOLATIONS = {"nearest": "nearest-exact", "bilinear": "linear"}


def crop_sides(side: int, shorter: int, crop_size: int, num_steps: int) -> list[int]:
    """What is left of ``side`` pixels at t = 0..T: evenly down to crop_size / shorter of them.

    Rounded to whole pixels, half a pixel upwards.
    """
    whole = shorter * num_steps
    left = [side * (whole - t * (shorter - crop_size)) for t in range(num_steps + 1)]
    return [(2 * pixels + whole) // (2 * whole) for pixels in left]


def zoom_operators(side: int, sizes: Sequence[int], interpolation: str) -> Tensor:
    """Cropping the middle and enlarging it again, float64 ``[T + 1, side, side]``.

    Args:
        side: pixels before and after.
        sizes: pixels of each crop; where they cannot lie in the middle the crop is half a pixel
            nearer to the start.
        interpolation: ``nearest`` or ``bilinear``.
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

    A degradation in the sense of Bansal et al. 2022, section 3, whose inverse draws what is around.

    Args:
        image_shape: (C, H, W).
        crop_size: pixels of the shorter side that are left at T; the longer one keeps its ratio.
        num_steps: T; None is one pixel less at each border a step.
        interpolation: ``nearest`` or ``bilinear``.

    Raises:
        ValueError: an unknown interpolation, a crop that is not smaller than the image, or more
            steps than pixels to crop.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        crop_size: int = 8,
        num_steps: int | None = None,
        interpolation: str = "bilinear",
    ) -> None:
        _, height, width = image_shape
        shorter = min(height, width)
        check_whole("degradation.crop_size", crop_size, 1, shorter - 1)
        steps = max(1, (shorter - crop_size) // 2) if num_steps is None else num_steps
        check_whole("degradation.num_steps", steps, 1, shorter - crop_size)
        check_choice("degradation.interpolation", interpolation, INTERPOLATIONS)
        rows, columns = (
            zoom_operators(side, crop_sides(side, shorter, crop_size, steps), interpolation)
            for side in (height, width)
        )
        super().__init__(rows, columns)

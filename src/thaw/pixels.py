"""The stated range of the images that a network sees, and the way to and from stored bytes."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from thaw.checks import check_between, check_list, check_whole, shown

LARGEST = 1000
SMALLEST_WIDTH = 0.001
MAX_BANK_BYTES = 2**32


class PixelRange(NamedTuple):
    """Images in [low, high]; the seeds' study uses [-0.5, 0.5]."""

    low: float
    high: float

    @classmethod
    def of(cls, bounds: object) -> "PixelRange":
        """From two numbers, as a configuration gives them.

        Raises:
            ValueError: not two numbers from -1000 to 1000 with low < high, 0.001 apart.
        """
        check_list("data.pixel_range", bounds, _check_bound, "[-0.5, 0.5]", 2)
        low, high = (float(bound) for bound in bounds)  # type: ignore[attr-defined]
        if low + SMALLEST_WIDTH > high:
            raise ValueError(
                "data.pixel_range must be two numbers [low, high] with low < high, at least "
                f"{SMALLEST_WIDTH} apart, not {shown(bounds)}"
            )
        return cls(low, high)

    def from_uint8(self, images: Tensor) -> Tensor:
        """float32 in [low, high] from uint8 of any shape."""
        x = images.float().mul_((self.high - self.low) / 255).add_(self.low)
        return x.clamp_(self.low, self.high)

    def to_uint8(self, x: Tensor) -> Tensor:
        """uint8 from floats of any shape, clamped to [low, high] and rounded to nearest."""
        scaled = (x.float() - self.low) * (255 / (self.high - self.low))
        return scaled.clamp_(0, 255).round_().to(torch.uint8)


def check_bank(name: str, num_images: object, image_shape: Sequence[int]) -> None:
    """Refuse a number of images, uint8 of ``image_shape``, that would fill more than 4 GiB.

    Raises:
        ValueError: naming the key and what is allowed.
    """
    check_whole(name, num_images, 1, max(1, MAX_BANK_BYTES // prod(image_shape)))


def _check_bound(name: str, value: object) -> None:
    check_between(name, value, -LARGEST, LARGEST)

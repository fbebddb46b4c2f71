"""The stated range of the images that a network sees, and the way to and from stored bytes."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from thaw.checks import check_count, is_number, shown

LARGEST, TINIEST = 1000, 1e-30
# Of the larger bound: narrower, and single precision would not tell 256 levels apart.
NARROWEST = 1e-4
MAX_BANK_BYTES = 2**32


class PixelRange(NamedTuple):
    """Images in [low, high]; the seeds' study uses [-0.5, 0.5]."""

    low: float
    high: float

    @classmethod
    def of(cls, bounds: object) -> "PixelRange":
        """From two numbers, as a configuration gives them.

        Raises:
            ValueError: not two numbers from -1000 to 1000 with low < high.
        """
        is_list = isinstance(bounds, Sequence) and not isinstance(bounds, str)
        entries = list(bounds) if is_list else []  # type: ignore[call-overload]
        if len(entries) == 2 and all(map(is_number, entries)):
            low, high = entries
            largest = max(abs(low), abs(high))
            if TINIEST < largest <= LARGEST and high - low >= NARROWEST * largest:
                return cls(float(low), float(high))
        raise ValueError(
            f"data.pixel_range must be two numbers [low, high] from {-LARGEST} to {LARGEST} with "
            f"low < high, not {shown(bounds)}"
        )

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
    check_count(name, num_images, MAX_BANK_BYTES // prod(image_shape))

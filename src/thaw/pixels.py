"""The stated range of the images that a network sees, and conversion from and to stored bytes."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import torch
from annotated_types import Len
from torch import Tensor

from thaw.checks import check

Bounds = Annotated[Sequence[float], Len(2, 2)]


class PixelRange(NamedTuple):
    """Images in [low, high]; the seeds' study uses [-0.5, 0.5]."""

    low: float
    high: float

    @classmethod
    def of(cls, pixel_range: Bounds, name: str = "pixel_range") -> "PixelRange":
        """The range of two numbers, low < high, called ``name`` in errors."""
        check(name, pixel_range, Bounds)
        low, high = map(float, pixel_range)
        if not low < high:
            raise ValueError(f"{name} must be [low, high] with low < high, got [{low}, {high}]")
        return cls(low, high)

    def from_uint8(self, images: Tensor) -> Tensor:
        """float32 in [low, high] from uint8, or from what :meth:`to_levels` gives, of any shape."""
        x = images.to(torch.float32, copy=True).mul_((self.high - self.low) / 255).add_(self.low)
        return x.clamp_(self.low, self.high)

    def to_uint8(self, x: Tensor) -> Tensor:
        """uint8 from floats of any shape, clamped to [low, high] and rounded to nearest."""
        return self.to_levels(x).round_().to(torch.uint8)

    def to_levels(self, x: Tensor) -> Tensor:
        """float32 in [0, 255] from floats of any shape, clamped to [low, high] and not rounded."""
        scaled = (x.float() - self.low) * (255 / (self.high - self.low))
        return scaled.clamp_(0, 255)

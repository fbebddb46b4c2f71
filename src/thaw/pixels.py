"""The stated range of the images that a network sees, and the way to and from stored bytes."""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class PixelRange(NamedTuple):
    """Images in [low, high]; the seeds' study uses [-0.5, 0.5]."""

    low: float
    high: float

    @classmethod
    def of(cls, bounds: object) -> "PixelRange":
        """From two numbers, as a configuration gives them.

        Raises:
            ValueError: not two finite numbers with low < high.
        """
        try:
            low, high = (float(bound) for bound in bounds)  # type: ignore[attr-defined]
        except (TypeError, ValueError):
            low = high = math.nan
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(
                f"data.pixel_range must be two numbers [low, high] with low < high, not {bounds}"
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

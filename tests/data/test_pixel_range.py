"""From stored bytes to a pixel range and back."""

import pytest
import torch

from thaw.pixels import PixelRange

ALL_BYTES = torch.arange(256, dtype=torch.uint8)
RANGES = [(-0.5, 0.5), (0, 255), (-3.7, 11.2), (1e-6, 2e-6)]


@pytest.mark.parametrize("bounds", RANGES)
def test_every_byte_comes_back(bounds: tuple[float, float]) -> None:
    pixel_range = PixelRange.of(bounds)
    assert torch.equal(pixel_range.to_uint8(pixel_range.from_uint8(ALL_BYTES)), ALL_BYTES)


@pytest.mark.parametrize("bounds", RANGES)
def test_bytes_are_spread_evenly_from_low_to_high(bounds: tuple[float, float]) -> None:
    low, high = bounds
    x_0 = PixelRange.of(bounds).from_uint8(ALL_BYTES)
    assert x_0.dtype == torch.float32
    exact = low + (high - low) * ALL_BYTES.double() / 255
    largest = max(abs(low), abs(high))
    torch.testing.assert_close(x_0.double(), exact, rtol=0, atol=2e-7 * largest)


def test_beyond_the_range_is_clamped_and_between_is_rounded_to_nearest() -> None:
    pixel_range = PixelRange(-0.5, 0.5)
    x = torch.tensor([-9.0, -0.5, -0.5 + 0.4 / 255, -0.5 + 0.6 / 255, 0.5, float("inf")])
    assert pixel_range.to_uint8(x).tolist() == [0, 0, 0, 1, 255, 255]


@pytest.mark.parametrize("bounds", [(0, 0), (0, 1, 2), (0, float("nan")), "ab", 3])
def test_anything_but_two_ordered_numbers_is_refused(bounds: object) -> None:
    with pytest.raises(ValueError, match="^pixel_range must be"):
        PixelRange.of(bounds)

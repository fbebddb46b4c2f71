"""Snow: its layer against SciPy and by its published steps, how it grows, what is refused."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from theory_support import RANGE
from torch import Generator, Tensor
from torch.nn import functional

from thaw.diffusion.degradations.snow import STREAK, Snow, drift, enlarged
from thaw.pixels import PixelRange

SIDES = (12, 17)


def black(num_images: int, channels: int = 1) -> Tensor:
    return torch.full((num_images, channels, *SIDES), RANGE.low)


@pytest.mark.parametrize("zoom", [1.0, 2.5, 4.0])
def test_noise_is_enlarged_as_scipy_does(zoom: float) -> None:
    height, width = SIDES
    sides = [math.ceil(side / zoom) + 2 for side in SIDES]
    cells = torch.randn(3, 1, *sides, generator=Generator().manual_seed(0), dtype=torch.float64)
    field = enlarged(cells, zoom, height, width)
    rows, columns = np.indices(SIDES)
    top, left = ((int(n * zoom) - side) // 2 for n, side in zip(sides, SIDES, strict=True))
    places = [(rows + top + 0.5) / zoom - 0.5, (columns + left + 0.5) / zoom - 0.5]
    for image, enlarged_image in zip(cells, field, strict=True):
        # Outside of the noise this would be far off: the noise reaches far enough.
        expected = ndimage.map_coordinates(image[0].numpy(), places, order=1, cval=1e6)
        np.testing.assert_allclose(enlarged_image.numpy(), expected, atol=1e-12)


def test_the_field_moves_past_each_pixel() -> None:
    height, width, reach = *SIDES, STREAK // 2
    field = torch.rand(3, height + 2 * reach, width + 2 * reach)
    angles = torch.tensor([0.0, 0.7, 2.5])
    moving = drift(field, angles)
    for k, angle in enumerate(angles.tolist()):
        for moment in range(STREAK):
            down = reach + round((moment - reach) * math.sin(angle))
            right = reach + round((moment - reach) * math.cos(angle))
            seen = field[k, down : down + height, right : right + width]
            assert torch.equal(moving[k, moment], seen)


def test_a_layer_is_cut_off_blurred_in_motion_and_added_with_its_turn() -> None:
    """The published order of steps, on a layer that moves sideways: a convolution."""
    degradation = Snow(RANGE, num_steps=10, threshold=0.6, zoom=1.0, blur=3.0)
    draws = Generator().manual_seed(0)
    field = 0.55 + 0.3 * torch.randn(1, 1, *(side + STREAK - 1 for side in SIDES), generator=draws)
    noise = drift(field[0], torch.zeros(1))
    field = field[:, :, STREAK // 2 : -(STREAK // 2)]
    x_0 = torch.rand(1, 3, *SIDES, generator=Generator().manual_seed(1)) - 0.5
    for t in range(1, 11):
        share = (t - 1) / 9
        threshold, sigma = 1.15 + share * (0.6 - 1.15), 0.05 + share * (3.0 - 0.05)
        flakes = torch.where(field < threshold, 0.0, field).clamp(0, 1)
        weights = torch.tensor([math.exp(-0.5 * (j / sigma) ** 2) for j in range(-5, 6)])
        kernel = (weights / weights.sum()).view(1, 1, 1, STREAK)
        layer = functional.conv2d(flakes, kernel)
        expected = (x_0 + layer + torch.rot90(layer, 2, (2, 3))).clamp(max=RANGE.high)
        x_t = degradation(x_0, torch.tensor([t]), noise)
        torch.testing.assert_close(x_t, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 1.0), (-0.5, 0.5)])
def test_it_falls_in_white_and_stays_in_the_range(bounds: tuple[float, float]) -> None:
    pixel_range = PixelRange(*bounds)
    degradation = Snow(pixel_range, num_steps=5, threshold=0.2)
    levels = torch.randint(0, 256, (8, 3, *SIDES), generator=Generator().manual_seed(0))
    x_0 = pixel_range.from_uint8(levels.to(torch.uint8))
    noise = degradation.draw_noise(x_0, Generator().manual_seed(0))
    for t in range(6):
        x_t = degradation(x_0, torch.full((8,), t), noise)
        assert (x_t >= x_0).all()
        assert (x_t <= pixel_range.high).all()
    assert (x_t == pixel_range.high).float().mean() > 0.3


def test_each_image_has_flakes_and_a_direction_of_its_own() -> None:
    x_0 = black(200)
    noise = Snow(RANGE).draw_noise(x_0, Generator().manual_seed(0))
    assert noise.shape == (200, STREAK, *SIDES)
    assert noise.mean().item() == pytest.approx(0.55, abs=0.02)
    assert len({image.tobytes() for image in noise.numpy()}) == 200
    # A field that moves a pixel in a moment is what it was there, a moment before.
    now, before = noise[:, 6], noise[:, 5]
    moves = {
        "right": now[..., :-1] - before[..., 1:],
        "left": now[..., 1:] - before[..., :-1],
        "down": now[:, :-1] - before[:, 1:],
        "right and down": now[:, :-1, :-1] - before[:, 1:, 1:],
        "left and down": now[:, :-1, 1:] - before[:, 1:, :-1],
    }
    is_move = torch.stack([(move == 0).all(2).all(1) for move in moves.values()])
    assert (is_move.sum(0) == 1).all()
    # Over 180 degrees: 30 to either side are along a row, 60 are down, 30 are each diagonal.
    share = is_move.float().mean(1)
    expected = torch.tensor([1, 1, 2, 1, 1]) / 6
    torch.testing.assert_close(share, expected, rtol=0, atol=0.12)


def test_the_snow_is_the_same_in_every_precision() -> None:
    degradation = Snow(RANGE)
    single, double, half = (
        degradation.draw_noise(black(2).to(dtype), Generator().manual_seed(0))
        for dtype in (torch.float32, torch.float64, torch.bfloat16)
    )
    assert torch.equal(single.double(), double)
    assert torch.equal(single.bfloat16(), half)

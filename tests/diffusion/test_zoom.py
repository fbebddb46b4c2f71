"""Zoom: against torch's own resizing of the crop, the crops by hand, and what is refused."""

from itertools import pairwise

import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional

from thaw.diffusion.degradations.zoom import INTERPOLATIONS, Zoom, crop_sides

# To torch's name for each in two dimensions.
MODES = {"nearest": "nearest-exact", "bilinear": "bilinear"}
every_interpolation = pytest.mark.parametrize("interpolation", INTERPOLATIONS)


def images(shape: tuple[int, ...], num_images: int = 2) -> Tensor:
    draws = Generator().manual_seed(0)
    return torch.rand(num_images, *shape, generator=draws, dtype=torch.float64) - 0.5


def degrade(degradation: Zoom, x_0: Tensor, t: int) -> Tensor:
    return degradation(x_0, torch.full((len(x_0),), t), degradation.draw_noise(x_0))


@every_interpolation
@pytest.mark.parametrize(
    ("shape", "crop_size", "num_steps"),
    [((1, 28, 28), 8, None), ((3, 32, 32), 5, 20), ((2, 15, 22), 3, 12), ((1, 6, 6), 1, 5)],
)
def test_it_is_torchs_resizing_of_the_middle(
    interpolation: str, shape: tuple[int, ...], crop_size: int, num_steps: int | None
) -> None:
    degradation = Zoom(shape, crop_size, num_steps, interpolation)
    x_0, steps = images(shape), degradation.num_steps
    _, height, width = shape
    crops = [crop_sides(side, min(height, width), crop_size, steps) for side in (height, width)]
    for t, (rows, columns) in enumerate(zip(*crops, strict=True)):
        top, left = (height - rows) // 2, (width - columns) // 2
        crop = x_0[..., top : top + rows, left : left + columns]
        expected = functional.interpolate(crop, size=(height, width), mode=MODES[interpolation])
        torch.testing.assert_close(degrade(degradation, x_0, t), expected, rtol=0, atol=1e-6)


def test_a_pixel_off_each_border_a_step_unless_told_otherwise() -> None:
    assert Zoom((1, 28, 28)).num_steps == 10
    assert crop_sides(28, 28, 8, 10) == [28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8]
    assert crop_sides(28, 28, 8, 4) == [28, 23, 18, 13, 8]
    assert crop_sides(56, 28, 8, 2) == [56, 36, 16]  # the longer side keeps its ratio
    assert Zoom((1, 28, 56), crop_size=27).num_steps == 1


@pytest.mark.parametrize(("height", "width"), [(28, 28), (9, 31), (32, 33)])
def test_every_step_crops_further(height: int, width: int) -> None:
    shorter = min(height, width)
    for crop_size in range(1, shorter):
        for num_steps in range(1, shorter - crop_size + 1):
            for side in (height, width):
                sizes = crop_sides(side, shorter, crop_size, num_steps)
                assert (sizes[0], len(sizes)) == (side, num_steps + 1)
                assert all(after < before for before, after in pairwise(sizes))
            assert crop_sides(shorter, shorter, crop_size, num_steps)[-1] == crop_size

"""Grids of images against torchvision's."""

import math

import pytest
import torch
from torchvision.utils import make_grid

from thaw.reporting.images import grid


@pytest.mark.parametrize("columns", [None, 2, 4])
@pytest.mark.parametrize("num_images", [1, 3, 4, 10])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_is_torchvisions_of_the_enlarged_images(
    channels: int, num_images: int, columns: int | None
) -> None:
    images = torch.randint(0, 256, (num_images, channels, 28, 30), dtype=torch.uint8)
    enlarged = images.repeat_interleave(3, -2).repeat_interleave(3, -1)
    nrow = columns or math.ceil(math.sqrt(num_images))
    theirs = make_grid(enlarged, nrow=nrow, padding=3, pad_value=128)
    assert torch.equal(grid(images, columns), theirs)

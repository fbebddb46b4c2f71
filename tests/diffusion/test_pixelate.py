"""Halving the resolution: against pooling, nested projections, means, and where it ends."""

import math

import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional

from thaw.diffusion.degradations.pixelate import Pixelate, block_means, num_halvings

SHAPES = [(1, 28, 28), (3, 32, 32), (2, 13, 21), (1, 1, 9), (1, 16, 4)]
every_shape = pytest.mark.parametrize("shape", SHAPES)


def images(shape: tuple[int, ...], num_images: int = 2) -> Tensor:
    draws = Generator().manual_seed(0)
    return torch.rand(num_images, *shape, generator=draws, dtype=torch.float64) - 0.5


def as_far_as_possible(shape: tuple[int, ...]) -> Pixelate:
    return Pixelate(shape, num_steps=math.ceil(math.log2(max(shape[1:]))))


def degrade(degradation: Pixelate, x_0: Tensor, t: int) -> Tensor:
    return degradation(x_0, torch.full((len(x_0),), t), degradation.draw_noise(x_0))


@every_shape
def test_it_is_average_pooling_enlarged_by_nearest_neighbours(shape: tuple[int, ...]) -> None:
    degradation, x_0 = as_far_as_possible(shape), images(shape)
    _, height, width = shape
    for t in range(degradation.num_steps + 1):
        means = functional.avg_pool2d(x_0, 2**t, ceil_mode=True)
        enlarged = functional.interpolate(means, scale_factor=2**t, mode="nearest")
        expected = enlarged[..., :height, :width]
        found = degrade(degradation, x_0, t)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("side", [1, 2, 7, 12, 28, 32])
def test_the_operators_are_nested_orthogonal_projections(side: int) -> None:
    operators = block_means(side, 5)
    for s, first in enumerate(operators):
        torch.testing.assert_close(first, first.T, rtol=0, atol=0)
        for t, second in enumerate(operators):
            product, later = first @ second, operators[max(s, t)]
            torch.testing.assert_close(product, later, rtol=0, atol=1e-14)


def test_as_many_halvings_as_leave_4_pixels() -> None:
    found = {side: num_halvings(side) for side in (4, 6, 7, 12, 13, 24, 25, 28, 32, 64, 128)}
    assert found == {4: 1, 6: 1, 7: 1, 12: 1, 13: 2, 24: 2, 25: 3, 28: 3, 32: 3, 64: 4, 128: 5}
    assert Pixelate((1, 28, 64)).num_steps == 3  # the shorter side decides

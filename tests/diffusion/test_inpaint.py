"""Inpainting: the masks by their formula, centres of each image's own, what the network is told."""

import math

import pytest
import torch
from theory_support import RANGE
from torch import Generator, Tensor

from thaw.diffusion.degradations.inpaint import Inpaint, kept_shares
from thaw.pixels import PixelRange

SHAPE = (2, 7, 10)


def images(num_images: int, seed: int = 0) -> Tensor:
    draws = Generator().manual_seed(seed)
    return torch.rand(num_images, *SHAPE, generator=draws, dtype=torch.float64) - 0.5


def by_loops(x_0: Tensor, t: int, centre: tuple[int, int], first: float, growth: float) -> Tensor:
    """The definition, one image ``[C, H, W]``, one pixel and one mask at a time."""
    x_t = x_0.clone()
    for row in range(x_0.shape[1]):
        for column in range(x_0.shape[2]):
            square = (row - centre[0]) ** 2 + (column - centre[1]) ** 2
            for i in range(t):
                mask = 1 - math.exp(-square / (2 * (first + i * growth) ** 2))
                x_t[:, row, column] = RANGE.low + mask * (x_t[:, row, column] - RANGE.low)
    return x_t


@pytest.mark.parametrize(("first", "growth"), [(1.0, 0.1), (0.5, 0.0), (2.5, 0.4)])
def test_it_is_the_product_of_growing_masks_around_each_images_centre(
    first: float, growth: float
) -> None:
    degradation = Inpaint(SHAPE, RANGE, 9, first, growth, centre="random")
    x_0, t = images(4), torch.tensor([0, 1, 5, 9])
    centres = torch.tensor([[3, 4], [0, 0], [6, 9], [2, 8]])
    x_t = degradation(x_0, t, centres)
    for k, image in enumerate(x_0):
        expected = by_loops(image, int(t[k]), tuple(centres[k].tolist()), first, growth)
        torch.testing.assert_close(x_t[k], expected, rtol=0, atol=1e-7)


def test_the_middle_is_a_pixel_and_the_same_for_all() -> None:
    fixed, free = Inpaint(SHAPE, RANGE), Inpaint(SHAPE, RANGE, centre="random")
    x_0, t = images(3), torch.tensor([1, 20, 50])
    noise = fixed.draw_noise(x_0)
    assert noise.shape == (3, 0)
    middle = torch.tensor([[3, 4]]).expand(3, 2)
    assert torch.equal(fixed(x_0, t, noise), free(x_0, t, middle))
    torch.testing.assert_close(fixed.remainder(x_0)[2], fixed(x_0, t, noise)[2])


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 1.0)])
def test_black_is_the_low_end_of_the_range(bounds: tuple[float, float]) -> None:
    degradation = Inpaint(SHAPE, PixelRange(*bounds), beta_start=100.0)
    x_0 = images(2) + 0.5
    x_T = degradation(x_0, torch.full((2,), 50), degradation.draw_noise(x_0))
    torch.testing.assert_close(x_T, torch.full_like(x_0, bounds[0]), rtol=0, atol=1e-6)


def test_a_mask_is_exact_however_far_out() -> None:
    """Products in single precision would be off by 1e-6 after a thousand masks."""
    betas = torch.full((1000,), 2.0, dtype=torch.float64)
    far_out = kept_shares(1, 15, betas)[1000, 0, 14].item()
    assert far_out == pytest.approx(math.exp(1000 * math.log1p(-math.exp(-24.5))), rel=1e-13)


def test_centres_are_every_pixel_alike() -> None:
    degradation = Inpaint(SHAPE, RANGE, centre="random")
    centres = degradation.draw_noise(torch.empty(7000, *SHAPE), Generator().manual_seed(0))
    assert (centres.shape, centres.dtype) == ((7000, 2), torch.int64)
    counts = torch.zeros(7, 10)
    counts.index_put_((centres[:, 0], centres[:, 1]), torch.ones(7000), accumulate=True)
    # 100 expected at each of the 70: the chi-squared statistic has mean 69 and deviation 12.
    assert ((counts - 100) ** 2 / 100).sum() < 69 + 4 * 12

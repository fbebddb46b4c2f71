"""Fading to the mean of a channel or of all channels: the recursion, the contrast, what is left."""

import pytest
import torch
from torch import Generator, Tensor

from thaw.diffusion.degradations.fade import Decolour, Fade

SHAPE = (3, 5, 6)
BOTH = [(Fade(4), (2, 3)), (Decolour(SHAPE, 4), (1,))]


def images(dtype: torch.dtype = torch.float64) -> Tensor:
    draws = Generator().manual_seed(0)
    return (torch.rand(5, *SHAPE, generator=draws, dtype=torch.float64) - 0.5).to(dtype)


@pytest.mark.parametrize("num_steps", [1, 7, 20])
def test_decolouring_is_the_published_recursion(num_steps: int) -> None:
    """Each step mixes the channels so that 1 / T less of the colour is left, the last one none."""
    x_0 = images()
    degradation = Decolour(SHAPE, num_steps)
    x_t, left = x_0, 1.0
    for t in range(1, num_steps + 1):
        kept = 1 - 1 / num_steps / left if t < num_steps else 0.0
        mixing = kept * torch.eye(3) + (1 - kept) * torch.full((3, 3), 1 / 3)
        x_t = torch.einsum("dc,bchw->bdhw", mixing.double(), x_t)
        left *= kept
        found = degradation(x_0, torch.full((5,), t), degradation.draw_noise(x_0))
        torch.testing.assert_close(found, x_t, rtol=0, atol=2e-7)


@pytest.mark.parametrize(("degradation", "dims"), BOTH)
def test_the_mean_stays_and_what_differs_from_it_falls_evenly(
    degradation: Fade, dims: tuple[int, ...]
) -> None:
    x_0, t = images(), torch.arange(5)
    mean = x_0.mean(dims, keepdim=True)
    x_t = degradation(x_0, t, degradation.draw_noise(x_0))
    left = (1 - t.double() / 4).view(-1, 1, 1, 1) * (x_0 - mean)
    torch.testing.assert_close(x_t - mean, left, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize(("degradation", "dims"), BOTH)
def test_the_mean_is_left_to_the_bit_of_an_image_and_of_a_drawn_remainder(
    degradation: Fade, dims: tuple[int, ...], dtype: torch.dtype
) -> None:
    x_0 = images(dtype)
    expected = x_0.mean(dims, keepdim=True).expand_as(x_0)
    assert torch.equal(degradation.remainder(x_0), expected)
    assert torch.equal(degradation.complete(x_0, degradation.draw_noise(x_0)), expected)

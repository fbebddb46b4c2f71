"""Fading colours: the published recursion, the grey, what stays, and what is refused."""

import pytest
import torch
from torch import Generator, Tensor

from thaw.diffusion.degradations.decolour import Decolour

SHAPE = (3, 5, 6)


def images(num_images: int = 4, dtype: torch.dtype = torch.float64) -> Tensor:
    draws = Generator().manual_seed(0)
    return (torch.rand(num_images, *SHAPE, generator=draws, dtype=torch.float64) - 0.5).to(dtype)


def degrade(degradation: Decolour, x_0: Tensor, t: int) -> Tensor:
    return degradation(x_0, torch.full((len(x_0),), t), degradation.draw_noise(x_0))


@pytest.mark.parametrize("num_steps", [1, 7, 20])
def test_it_is_the_published_recursion(num_steps: int) -> None:
    """Each step mixes the channels so that 1 / T less of the colour is left, the last one none."""
    x_0 = images()
    degradation = Decolour(SHAPE, num_steps)
    x_t, left = x_0, 1.0
    for t in range(1, num_steps + 1):
        kept = 1 - 1 / num_steps / left if t < num_steps else 0.0
        mixing = kept * torch.eye(3) + (1 - kept) * torch.full((3, 3), 1 / 3)
        x_t = torch.einsum("dc,bchw->bdhw", mixing.double(), x_t)
        left *= kept
        torch.testing.assert_close(degrade(degradation, x_0, t), x_t, rtol=0, atol=2e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_nothing_but_grey_is_left_to_the_bit(dtype: torch.dtype) -> None:
    degradation, x_0 = Decolour(SHAPE), images(dtype=dtype)
    x_T = degrade(degradation, x_0, 20)
    assert x_T.dtype == dtype
    assert torch.equal(x_T, x_0.mean(1, keepdim=True).expand_as(x_0))
    assert torch.equal(degradation.remainder(x_0), x_T)


def test_a_drawn_remainder_is_completed_to_grey() -> None:
    degradation, drawn = Decolour(SHAPE), images()
    x_T = degradation.complete(drawn, degradation.draw_noise(drawn))
    torch.testing.assert_close(degrade(degradation, x_T, 20), x_T)
    assert not torch.equal(x_T, drawn)

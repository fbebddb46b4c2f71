"""Fading to the mean: how contrast falls, what is left, what is refused."""

import torch
from torch import Generator, Tensor

from thaw.diffusion.degradations.fade import Fade


def images(num_images: int) -> Tensor:
    draws = Generator().manual_seed(0)
    return torch.rand(num_images, 3, 5, 6, generator=draws, dtype=torch.float64) - 0.5


def test_the_mean_of_each_channel_stays_and_the_contrast_falls_evenly() -> None:
    degradation, x_0 = Fade(num_steps=4), images(5)
    t = torch.arange(5)
    x_t = degradation(x_0, t, degradation.draw_noise(x_0))
    torch.testing.assert_close(x_t.mean((2, 3)), x_0.mean((2, 3)))
    contrast = (1 - t.double() / 4)[:, None] * x_0.std((2, 3))
    torch.testing.assert_close(x_t.std((2, 3)), contrast, rtol=1e-12, atol=1e-15)
    assert torch.equal(x_t[4], x_t[4, :, :1, :1].expand_as(x_t[4]))


def test_half_way_is_the_average_of_image_and_mean() -> None:
    degradation, x_0 = Fade(num_steps=20), images(2)
    x_t = degradation(x_0, torch.tensor([10, 10]), degradation.draw_noise(x_0))
    torch.testing.assert_close(x_t, (x_0 + x_0.mean((2, 3), keepdim=True)) / 2)


def test_a_drawn_remainder_becomes_one_value_a_channel() -> None:
    degradation, drawn = Fade(), images(2)
    x_T = degradation.complete(drawn, degradation.draw_noise(drawn))
    torch.testing.assert_close(x_T, drawn.mean((2, 3), keepdim=True).expand_as(drawn))
    torch.testing.assert_close(degradation.remainder(x_T), x_T)

"""Blur: against explicit convolutions, in frequency space, its kernels, and what is refused."""

import math
from typing import Any, get_args

import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional
from torchvision.transforms.functional import gaussian_blur

from thaw.diffusion.degradations.blur import (
    Blur,
    Padding,
    composed_operators,
    convolution_matrix,
    kernel_1d,
    standard_deviations,
)

# The published settings: MNIST, CIFAR-10, CelebA.
MNIST: dict[str, Any] = {}
CIFAR10: dict[str, Any] = {
    "num_steps": 50, "sigma": 0.35, "growth": "linear", "rate": 0.01, "padding": "reflect",
}  # fmt: skip
CELEBA: dict[str, Any] = {
    "num_steps": 200, "kernel_size": 15, "sigma": 1.0, "growth": "exponential", "rate": 0.01,
    "padding": "reflect",
}  # fmt: skip
every_setting = pytest.mark.parametrize(
    "settings", [MNIST, CIFAR10, CELEBA], ids=["mnist", "cifar10", "celeba"]
)
SHAPE = (3, 28, 20)


def images(num_images: int = 2, shape: tuple[int, ...] = SHAPE) -> Tensor:
    draws = Generator().manual_seed(0)
    return torch.rand(num_images, *shape, generator=draws, dtype=torch.float64) - 0.5


def kernel_2d(kernel_size: int, sigma: float) -> Tensor:
    """The Gaussian of two variables at whole pixels, cut off to a square and scaled to sum 1."""
    offsets = torch.arange(kernel_size, dtype=torch.float64) - kernel_size // 2
    squared_distance = offsets[:, None] ** 2 + offsets**2
    weights = torch.exp(-squared_distance / (2 * sigma**2))
    return weights / weights.sum()


def sigma_at(t: int, sigma: float = 7.0, growth: str = "constant", rate: float = 0.0) -> float:
    grown = {"constant": sigma, "linear": sigma + rate * (t - 1),
             "exponential": sigma * math.exp(rate * (t - 1))}  # fmt: skip
    return grown[growth]


def convolve(x: Tensor, kernel: Tensor, padding: str) -> Tensor:
    """One convolution of each channel with a square kernel, by torch."""
    reach = len(kernel) // 2
    padded = functional.pad(x, (reach,) * 4, mode=padding)
    weights = kernel.expand(x.shape[1], 1, -1, -1)
    return functional.conv2d(padded, weights, groups=x.shape[1])


@every_setting
def test_it_is_t_convolutions_one_after_another(settings: dict[str, Any]) -> None:
    degradation = Blur(SHAPE, **settings)
    x_0 = images()
    growing = {key: settings[key] for key in ("sigma", "growth", "rate") if key in settings}
    size, padding = settings.get("kernel_size", 11), settings.get("padding", "circular")
    sigmas = standard_deviations(
        **{"growth": "constant", "sigma": 7.0, "rate": 0.0} | growing,
        num_steps=degradation.num_steps,
    )
    kernels = [kernel_1d(size, sigma) for sigma in sigmas]
    rows, columns = (composed_operators(kernels, side, padding) for side in SHAPE[1:])
    x_t = x_0
    for t in range(1, degradation.num_steps + 1):
        x_t = convolve(x_t, kernel_2d(size, sigma_at(t, **growing)), padding)
        torch.testing.assert_close(rows[t] @ x_0 @ columns[t].T, x_t, rtol=0, atol=1e-13)
        if t in (1, 2, degradation.num_steps):
            found = degradation(x_0, torch.full((2,), t), degradation.draw_noise(x_0))
            torch.testing.assert_close(found, x_t, rtol=0, atol=1e-6)


def test_one_step_with_reflection_is_torchvisions_blur() -> None:
    degradation = Blur(SHAPE, num_steps=1, kernel_size=9, sigma=1.7, padding="reflect")
    x_0 = images()
    found = degradation(x_0, torch.ones(2, dtype=torch.int64), degradation.draw_noise(x_0))
    torch.testing.assert_close(found, gaussian_blur(x_0, [9, 9], [1.7, 1.7]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.05, 0.35, 7.0, 1000.0])
def test_kernels_are_gaussian_and_sum_to_1(sigma: float) -> None:
    kernel = kernel_1d(11, torch.tensor(sigma, dtype=torch.float64))
    assert kernel.sum().item() == pytest.approx(1, abs=1e-15)
    torch.testing.assert_close(kernel, kernel.flip(0), rtol=0, atol=0)
    torch.testing.assert_close(torch.outer(kernel, kernel), kernel_2d(11, sigma))


def test_circular_blur_keeps_the_mean_and_reflected_blur_need_not() -> None:
    x_0, t = images(20), torch.arange(1, 21)
    means = x_0.mean((2, 3))
    circular, reflected = (Blur(SHAPE, padding=padding) for padding in get_args(Padding))
    noise = circular.draw_noise(x_0)
    torch.testing.assert_close(circular(x_0, t, noise).mean((2, 3)), means, rtol=0, atol=1e-6)
    assert (reflected(x_0, t, noise).mean((2, 3)) - means).abs().max() > 1e-3


@pytest.mark.parametrize("padding", get_args(Padding))
@pytest.mark.parametrize("side", [2, 5])
def test_the_largest_kernel_is_what_torch_can_pad(padding: str, side: int) -> None:
    largest = 2 * side + 1 if padding == "circular" else 2 * side - 1
    for kernel_size in range(3, largest + 1, 2):
        kernel = torch.rand(kernel_size, dtype=torch.float64)
        x = torch.rand(side, dtype=torch.float64)
        padded = functional.pad(x.view(1, 1, -1), (kernel_size // 2,) * 2, mode=padding)
        expected = functional.conv1d(padded, kernel.view(1, 1, -1)).flatten()
        torch.testing.assert_close(convolution_matrix(kernel, side, padding) @ x, expected)
    with pytest.raises(ValueError, match=f"kernel_size must be odd and at most {largest}"):
        Blur((1, side, side), kernel_size=largest + 2, padding=padding)

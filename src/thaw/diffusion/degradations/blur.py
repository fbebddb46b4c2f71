"""Blurring, a Gaussian kernel a step."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn import functional

from thaw.checks import Count, NotNegative, Positive, checked
from thaw.diffusion.degradations.separable import Separable

Growth = Literal["constant", "linear", "exponential"]
Padding = Literal["circular", "reflect"]


def standard_deviations(growth: Growth, num_steps: int, sigma: float, rate: float) -> Tensor:
    """sigma_1 ... sigma_T of the kernels in pixels, float64 ``[T]``.

    ``linear`` is sigma + rate (t - 1), and ``constant`` is that with rate 0; ``exponential`` is
    sigma exp(rate (t - 1)).
    """
    steps = torch.arange(num_steps, dtype=torch.float64)
    return sigma * (rate * steps).exp() if growth == "exponential" else sigma + rate * steps


def kernel_1d(kernel_size: int, sigma: Tensor) -> Tensor:
    """exp(-j^2 / (2 sigma^2)), j from -k // 2 to k // 2, scaled to sum 1: ``[k]``, float64."""
    offsets = torch.arange(kernel_size, dtype=torch.float64) - kernel_size // 2
    return (-0.5 * (offsets / sigma) ** 2).softmax(0)


def convolution_matrix(kernel: Tensor, side: int, padding: Padding) -> Tensor:
    """The convolution of ``side`` pixels with an odd kernel ``[k]`` as a matrix ``[side, side]``.

    ``padding`` is as in torch: ``reflect`` does not repeat the border.
    """
    reach = len(kernel) // 2
    pixels = torch.arange(side, dtype=torch.float64).view(1, 1, side)
    padded = functional.pad(pixels, (reach, reach), mode=padding).flatten().long()
    sources = padded.unfold(0, len(kernel), 1)
    matrix = torch.zeros(side, side, dtype=torch.float64)
    return matrix.scatter_add_(1, sources, kernel.expand(side, -1))


def composed_operators(kernels: Sequence[Tensor], side: int, padding: Padding) -> Tensor:
    """K_t ... K_1 for t = 0..T, K_t the convolution with kernel t: ``[T + 1, side, side]``."""
    operators = [torch.eye(side, dtype=torch.float64)]
    for kernel in kernels:
        operators.append(convolution_matrix(kernel, side, padding) @ operators[-1])
    return torch.stack(operators)


class Blur(Separable):
    """x_t = G_t * ... * G_1 * x_0, G_t Gaussian of sigma_t (Bansal et al. 2022, section 4.1).

    A Gaussian kernel, also a truncated one, is the product of one along the rows and one along the
    columns, so the t convolutions are two matrices, composed exactly.

    Args:
        kernel_size: size of each G_t in pixels, odd, at most about twice the image's.
        sigma: standard deviation of the first kernel in pixels.
        growth: how sigma_t grows, see :func:`standard_deviations`.
        rate: rate of the growth; 0 where it is constant.
        padding: ``circular``, which keeps the mean of the image, or ``reflect``.
    """

    @checked
    def __init__(
        self,
        image_shape: Sequence[int],
        num_steps: Count = 20,
        kernel_size: Annotated[int, Ge(3)] = 11,
        sigma: Positive = 7.0,
        growth: Growth = "constant",
        rate: NotNegative = 0.0,
        padding: Padding = "circular",
    ) -> None:
        _, height, width = image_shape
        if growth == "constant" and rate:
            raise ValueError(
                f"rate={rate} needs a linear or exponential growth: a constant sigma has the rate 0"
            )
        # torch's limits: circular padding is at most one whole image, reflection one pixel less.
        largest = 2 * min(height, width) + (1 if padding == "circular" else -1)
        if kernel_size % 2 == 0 or kernel_size > largest:
            raise ValueError(
                f"kernel_size must be odd and at most {largest} for these images, got {kernel_size}"
            )
        sigmas = standard_deviations(growth, num_steps, sigma, rate)
        kernels = [kernel_1d(kernel_size, each) for each in sigmas]
        super().__init__(
            composed_operators(kernels, height, padding),
            composed_operators(kernels, width, padding),
        )

"""Blurring, a Gaussian kernel a step."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from thaw.checks import check_between, check_choice, check_whole
from thaw.diffusion.degradations.base import check_num_steps
from thaw.diffusion.degradations.separable import Separable

GROWTHS = ("constant", "linear", "exponential")
PADDINGS = ("circular", "reflect")
MAX_SIGMA = 1000
MAX_RATE = 10
# Of the operators, in single precision: they are composed in double, one by one.
TABLES = 16


def standard_deviations(growth: str, num_steps: int, sigma: float, rate: float) -> Tensor:
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


def convolution_matrix(kernel: Tensor, side: int, padding: str) -> Tensor:
    """The convolution of ``side`` pixels with an odd kernel ``[k]`` as a matrix ``[side, side]``.

    ``padding`` is ``circular`` or ``reflect``, as torch means them: reflect repeats no border.
    """
    reach = len(kernel) // 2
    pixels = torch.arange(side, dtype=torch.float64).view(1, 1, side)
    padded = functional.pad(pixels, (reach, reach), mode=padding).flatten().long()
    sources = padded.unfold(0, len(kernel), 1)
    matrix = torch.zeros(side, side, dtype=torch.float64)
    return matrix.scatter_add_(1, sources, kernel.expand(side, -1))


def composed_operators(kernels: Sequence[Tensor], side: int, padding: str) -> Tensor:
    """K_t ... K_1 for t = 0..T, K_t the convolution with kernel t: ``[T + 1, side, side]``."""
    operators = [torch.eye(side, dtype=torch.float64)]
    for kernel in kernels:
        operators.append(convolution_matrix(kernel, side, padding) @ operators[-1])
    return torch.stack(operators)


class Blur(Separable):
    """x_t = G_t * ... * G_1 * x_0, G_t Gaussian of sigma_t (Bansal et al. 2022, section 4.1).

    A Gaussian kernel, cut off or not, is the product of one along the rows and one along the
    columns, so the t convolutions are two matrices, composed exactly.

    Args:
        image_shape: (C, H, W).
        num_steps: T.
        kernel_size: of each G_t, in pixels, odd.
        sigma: of the first kernel, in pixels.
        growth: of sigma_t: ``constant``, ``linear`` or ``exponential``, see
            :func:`standard_deviations`.
        rate: of the growth; 0 where it is constant.
        padding: ``circular``, which keeps the mean of the image, or ``reflect``.

    Raises:
        ValueError: one of them is not allowed, or the kernel is too large for the image.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_steps: int = 20,
        kernel_size: int = 11,
        sigma: float = 7.0,
        growth: str = "constant",
        rate: float = 0.0,
        padding: str = "circular",
    ) -> None:
        _, height, width = image_shape
        check_num_steps(num_steps, TABLES * (height**2 + width**2))
        check_between("degradation.sigma", sigma, 0, MAX_SIGMA, open_=True)
        check_choice("degradation.growth", growth, GROWTHS)
        check_between("degradation.rate", rate, 0, MAX_RATE)
        if growth == "constant" and rate:
            raise ValueError(
                f"degradation.rate={rate} needs degradation.growth=linear or exponential: a "
                "constant sigma has the rate 0"
            )
        check_choice("degradation.padding", padding, PADDINGS)
        _check_kernel_size(kernel_size, min(height, width), padding)
        sigmas = standard_deviations(growth, num_steps, sigma, rate)
        kernels = [kernel_1d(kernel_size, each) for each in sigmas]
        super().__init__(
            composed_operators(kernels, height, padding),
            composed_operators(kernels, width, padding),
        )


def _check_kernel_size(kernel_size: int, side: int, padding: str) -> None:
    # What torch pads: circular reaches round the image once, reflect stops short of its own pixel.
    largest = 2 * side + 1 if padding == "circular" else 2 * side - 1
    check_whole("degradation.kernel_size", kernel_size, 3, largest)
    if kernel_size % 2 == 0:
        raise ValueError(
            f"degradation.kernel_size must be odd, from 3 to {largest} here, got {kernel_size}"
        )

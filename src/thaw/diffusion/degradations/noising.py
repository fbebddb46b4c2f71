"""Gaussian noise in place of the image, or of a part of it: the base of hot degradations."""

from abc import abstractmethod

import torch
from torch import Generator, Tensor

from thaw.diffusion.degradations.base import Degradation


class Noising(Degradation):
    """x_t = K x_0 + sqrt(ab_t) R x_0 + sqrt(1 - ab_t) spread R eps, with K + R = 1 and K R = 0.

    K keeps a part of the image to the end, R is the residual that noise replaces. With K = 0 and
    spread 1 this is Ho et al. 2020, equation 4. ab_t, alpha_bar, may differ from pixel to pixel.
    """

    spread: float = 1.0
    """Standard deviation of the noise that replaces the residual; 0 fades it without noise."""

    def draw_noise(self, x_0: Tensor, generator: Generator | None = None) -> Tensor:
        return torch.randn(x_0.shape, generator=generator, dtype=x_0.dtype, device=x_0.device)

    @abstractmethod
    def scales(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(sqrt(ab_t), sqrt(1 - ab_t)) for int64 ``[B]``, each of a shape that fits images."""

    @abstractmethod
    def alpha_bar_at(self, t: int) -> Tensor:
        """ab_t on the CPU in float64: a scalar, or of a shape that fits one image."""

    @abstractmethod
    def residual(self, x: Tensor) -> Tensor:
        """R x, ``[B, C, H, W]`` of images ``[B, C, H, W]``."""

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        signal, sigma = self.scales(t)
        eps = self.spread * self.residual(noise)
        # K x_0 + a R x_0 as x_0 + (a - 1) R x_0, so that clean pixels stay bit for bit.
        return (x_0 + (signal - 1) * self.residual(x_0) + sigma * eps).to(x_0.dtype)

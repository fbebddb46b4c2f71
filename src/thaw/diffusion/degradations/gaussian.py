"""Gaussian noise in place of the image, or of a part of it."""

from abc import abstractmethod

import torch
from torch import Generator, Tensor

from thaw.checks import checked
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.schedules import NOTHING_LEFT


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

    def remainder(self, x_0: Tensor) -> Tensor:
        """K x_0 + sqrt(ab_T) R x_0, the mean of x_T."""
        return self._at_last(x_0, torch.zeros_like(x_0))

    def complete(self, remainder: Tensor, noise: Tensor) -> Tensor:
        return remainder + self._at_last(torch.zeros_like(remainder), noise)


class Gaussian(Noising):
    """x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps (Ho et al. 2020, equation 4).

    Every schedule is meant to end in noise, so x_T counts as showing nothing of x_0 even where one
    ends early; only the prior considers what is then left (:attr:`ends_in_noise`).

    >>> D = Gaussian(torch.tensor([1.0, 0.64, 0.0]))
    >>> x_0, eps = torch.full((3, 1, 1, 1), 10.0), torch.ones(3, 1, 1, 1)
    >>> D(x_0, torch.tensor([0, 1, 2]), eps).flatten()
    tensor([10.0000,  8.6000,  1.0000])

    Args:
        schedule: alpha_bar, float64 ``[T + 1]``, from :mod:`thaw.diffusion.schedules`.
    """

    leaves_nothing = True
    noise_is_known = False

    schedule: Tensor
    signal: Tensor
    sigma: Tensor

    @checked
    def __init__(self, schedule: Tensor) -> None:
        super().__init__()
        self.schedule = schedule
        self.num_steps = len(schedule) - 1
        self.ends_in_noise = schedule[-1].item() < NOTHING_LEFT
        self.register_buffer("signal", schedule.sqrt().float(), persistent=False)
        self.register_buffer("sigma", (1 - schedule).sqrt().float(), persistent=False)

    def scales(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return self.signal[t].view(-1, 1, 1, 1), self.sigma[t].view(-1, 1, 1, 1)

    def alpha_bar_at(self, t: int) -> Tensor:
        return self.schedule[t]

    def residual(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        signal, sigma = self.scales(t)
        return (signal * x_0 + sigma * noise).to(x_0.dtype)

"""Gaussian noise in place of the image, in one basis or another."""

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from thaw.checks import checked
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.schedules import NOTHING_LEFT, alpha_bar_of


class Scales(NamedTuple):
    """a_t and b_t of z_t = a_t z_0 + b_t eps, each of a shape that fits coordinates z."""

    signal: Tensor
    sigma: Tensor

    @property
    def is_clean(self) -> Tensor:
        """Where z_t is z_0, so that nothing is left to learn: bool."""
        return (self.signal == 1) & (self.sigma == 0)


class Noising(Degradation):
    """x_t = U (a_t U' x_0 + spread b_t U' eps), with U U' = 1: noise in a basis U.

    a_t and b_t, signal and sigma, may differ from coordinate to coordinate. In pixels (U = 1), with
    one a_t and b_t for all and spread 1, this is Ho et al. 2020, equation 4.
    """

    spread: float = 1.0
    """A factor of the noise; without noise, at 0, the signal fades alone."""

    def draw_noise(self, x_0: Tensor, generator: Generator | None = None) -> Tensor:
        return torch.randn(x_0.shape, generator=generator, dtype=x_0.dtype, device=x_0.device)

    @abstractmethod
    def scales(self, t: Tensor) -> Scales:
        """(a_t, b_t) for int64 ``[B]``, each of a shape that fits coordinates of images."""

    @abstractmethod
    def scales_at(self, t: int) -> Scales:
        """(a_t, b_t) on the CPU in float64: scalars, or of a shape that fits those of one image."""

    def to_basis(self, x: Tensor) -> Tensor:
        """U' x: the coordinates ``[B, ...]`` of images ``[B, C, H, W]``."""
        return x

    def from_basis(self, z: Tensor) -> Tensor:
        """U z: images ``[B, C, H, W]``, the inverse of :meth:`to_basis`."""
        return z

    def noise_in_basis(self, noise: Tensor) -> Tensor:
        """spread U' eps: the coordinates of the noise that b_t is a factor of."""
        return self.spread * self.to_basis(noise)

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        signal, sigma = self.scales(t)
        z_t = signal * self.to_basis(x_0) + sigma * self.noise_in_basis(noise)
        return self.from_basis(z_t).to(x_0.dtype)

    def remainder(self, x_0: Tensor) -> Tensor:
        """U a_T U' x_0, the mean of x_T."""
        return self._at_last(x_0, torch.zeros_like(x_0))

    def complete(self, remainder: Tensor, noise: Tensor) -> Tensor:
        return remainder + self._at_last(torch.zeros_like(remainder), noise)


class Gaussian(Noising):
    """x_t = signal_t x_0 + sigma_t eps, by the table of a schedule (Ho et al. 2020, equation 4).

    Every schedule is meant to end in noise, so x_T counts as showing nothing of x_0 even where one
    ends early; only the prior considers what is then left (:attr:`ends_in_noise`).

    >>> D = Gaussian(torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]))
    >>> x_0, eps = torch.full((3, 1, 1, 1), 10.0), torch.ones(3, 1, 1, 1)
    >>> D(x_0, torch.tensor([0, 1, 2]), eps).flatten()
    tensor([10.0000,  8.6000,  1.0000])

    Args:
        schedule: (signal, sigma), float64 ``[T + 1, 2]``, from :mod:`thaw.diffusion.schedules`.
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
        self.ends_in_noise = alpha_bar_of(schedule[-1]).item() < NOTHING_LEFT
        signal, sigma = schedule.float().unbind(1)
        self.register_buffer("signal", signal, persistent=False)
        self.register_buffer("sigma", sigma, persistent=False)

    def scales(self, t: Tensor) -> Scales:
        return Scales(self.signal[t].view(-1, 1, 1, 1), self.sigma[t].view(-1, 1, 1, 1))

    def scales_at(self, t: int) -> Scales:
        return Scales(*self.schedule[t])

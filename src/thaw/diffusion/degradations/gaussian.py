"""Gaussian noise, the degradation of DDPM."""

import torch
from torch import Generator, Tensor

from thaw.diffusion.degradations.base import Degradation


class Gaussian(Degradation):
    """x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps (Ho et al. 2020, equation 4).

    Args:
        schedule: alpha_bar, float64 ``[T + 1]``, from :mod:`thaw.diffusion.schedules`.
    """

    signal: Tensor
    sigma: Tensor

    def __init__(self, schedule: Tensor) -> None:
        super().__init__()
        self.num_steps = len(schedule) - 1
        self.alpha_bar: list[float] = schedule.tolist()
        self.register_buffer("signal", schedule.sqrt().float(), persistent=False)
        self.register_buffer("sigma", (1 - schedule).sqrt().float(), persistent=False)

    def draw_noise(self, x_0: Tensor, generator: Generator | None = None) -> Tensor:
        return torch.randn(x_0.shape, generator=generator, dtype=x_0.dtype, device=x_0.device)

    def scales(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(sqrt(alpha_bar_t), sqrt(1 - alpha_bar_t)) for int64 ``[B]``, each ``[B, 1, 1, 1]``."""
        return self.signal[t].view(-1, 1, 1, 1), self.sigma[t].view(-1, 1, 1, 1)

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        signal, sigma = self.scales(t)
        return (signal * x_0 + sigma * noise).to(x_0.dtype)

"""Gaussian noise, the degradation of DDPM."""

import torch
from torch import Tensor

from thaw.checks import checked
from thaw.diffusion.degradations.noising import Noising
from thaw.diffusion.schedules import NOTHING_LEFT


class Gaussian(Noising):
    """x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps (Ho et al. 2020, equation 4).

    Every schedule is meant to end in noise, so x_T counts as showing nothing of x_0 even where one
    ends early; only the prior considers what is then left (:attr:`ends_in_noise`).

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
        self.alpha_bar: list[float] = schedule.tolist()
        self.ends_in_noise = self.alpha_bar[-1] < NOTHING_LEFT
        self.register_buffer("signal", schedule.sqrt().float(), persistent=False)
        self.register_buffer("sigma", (1 - schedule).sqrt().float(), persistent=False)

    def scales(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(sqrt(alpha_bar_t), sqrt(1 - alpha_bar_t)) for int64 ``[B]``, each ``[B, 1, 1, 1]``."""
        return self.signal[t].view(-1, 1, 1, 1), self.sigma[t].view(-1, 1, 1, 1)

    def alpha_bar_at(self, t: int) -> Tensor:
        return torch.tensor(self.alpha_bar[t], dtype=torch.float64)

    def residual(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        signal, sigma = self.scales(t)
        return (signal * x_0 + sigma * noise).to(x_0.dtype)

    def remainder(self, x_0: Tensor) -> Tensor:
        """sqrt(alpha_bar_T) x_0, the mean of x_T."""
        return self.signal[-1] * x_0

    def complete(self, remainder: Tensor, noise: Tensor) -> Tensor:
        return remainder + self.sigma[-1] * noise

"""Noise schedules: functions ``(timesteps, ...) -> alpha_bar``, float64 tables of T + 1 entries.

Entry 0 is the clean image, ``alpha_bar[0] = 1``; ``alpha_bar[t] = prod_{s <= t} (1 - beta_s)``.
"""

import math

import torch
from torch import Tensor

from thaw.checks import check_between, check_whole

MAX_TIMESTEPS = 1_000_000


def linear(timesteps: int, beta_start: float = 1e-4, beta_end: float = 0.02) -> Tensor:
    """beta_t evenly spaced from ``beta_start`` to ``beta_end`` (Ho et al. 2020, section 4).

    Returns:
        alpha_bar, ``[timesteps + 1]``, float64, in (0, 1].

    Raises:
        ValueError: timesteps is not a whole number of at least 1, or a beta is not in (0, 1).
    """
    check_whole("schedule.timesteps", timesteps, 1, MAX_TIMESTEPS)
    check_between("schedule.beta_start", beta_start, 0, 1, open_=True)
    check_between("schedule.beta_end", beta_end, 0, 1, open_=True)
    return alpha_bar_of(torch.linspace(beta_start, beta_end, timesteps, dtype=torch.float64))


def cosine(timesteps: int, offset: float = 0.008, max_beta: float = 0.999) -> Tensor:
    """alpha_bar_t = f(t) / f(0), f(t) = cos^2(pi/2 (t/T + offset) / (1 + offset)).

    Nichol and Dhariwal 2021, equation 17; each beta_t is at most ``max_beta``, as there.

    Returns:
        alpha_bar, ``[timesteps + 1]``, float64, in (0, 1].

    Raises:
        ValueError: timesteps is not a whole number of at least 1, offset is not in [0, 1], or
            max_beta is not in (0, 1).
    """
    check_whole("schedule.timesteps", timesteps, 1, MAX_TIMESTEPS)
    check_between("schedule.offset", offset, 0, 1)
    check_between("schedule.max_beta", max_beta, 0, 1, open_=True)
    t = torch.arange(timesteps + 1, dtype=torch.float64)
    f = torch.cos((t / timesteps + offset) / (1 + offset) * math.pi / 2) ** 2
    return alpha_bar_of((1 - f[1:] / f[:-1]).clamp(max=max_beta))


def alpha_bar_of(betas: Tensor) -> Tensor:
    """The table of T + 1 entries from T betas: ``alpha_bar[t] = prod_{s <= t} (1 - beta_s)``."""
    return torch.cat([betas.new_ones(1), torch.cumprod(1 - betas, dim=0)])


def betas_of(alpha_bar: Tensor) -> Tensor:
    """The T betas ``1 - alpha_bar[t] / alpha_bar[t - 1]``, t = 1..T, of a T + 1 entry table."""
    return 1 - alpha_bar[1:] / alpha_bar[:-1]

"""Noise schedules: functions ``(timesteps, ...) -> alpha_bar``, float64 tables of T + 1 entries.

Entry 0 is the clean image, ``alpha_bar[0] = 1``; ``alpha_bar[t] = prod_{s <= t} (1 - beta_s)``.
Each takes ``zero_terminal_snr``, see :func:`to_zero_terminal_snr`; those that are given by betas
for T = 1000 take ``rescale``, see :func:`rescaled`.
"""

import math

import torch
from torch import Tensor

from thaw.checks import check_between, check_bool, check_whole, shown

MAX_TIMESTEPS = 1_000_000
# The T that the published betas are meant for.
PUBLISHED_TIMESTEPS = 1000
# An alpha_bar_T below this leaves nothing of the image: even all 784 pixels of a digit together, of
# mean square 0.2, are then within 0.4 standard deviations of the noise. The linear betas end at
# 4e-5; latent diffusion's, at 5e-3, leave the brightness (Lin et al. 2023, table 1).
NOTHING_LEFT = 1e-3


def linear(
    timesteps: int,
    beta_start: float = 1e-4,
    beta_end: float = 0.02,
    rescale: bool = False,
    zero_terminal_snr: bool = False,
) -> Tensor:
    """beta_t evenly spaced from ``beta_start`` to ``beta_end`` (Ho et al. 2020, section 4).

    Returns:
        alpha_bar, ``[timesteps + 1]``, float64, in (0, 1], its last entry 0 if so chosen.

    Raises:
        ValueError: timesteps is not a whole number of at least 1, a beta is not in (0, 1), or
            rescaling would take one there.
    """
    _check(timesteps, beta_start, beta_end)
    betas = torch.linspace(beta_start, beta_end, timesteps, dtype=torch.float64)
    return _table(betas, rescale, zero_terminal_snr)


def quadratic(
    timesteps: int,
    beta_start: float = 1e-4,
    beta_end: float = 0.02,
    rescale: bool = False,
    zero_terminal_snr: bool = False,
) -> Tensor:
    """sqrt(beta_t) evenly spaced: the ``scaled_linear`` of latent diffusion.

    Rombach et al. 2022, whose ends are 0.00085 and 0.012; also Song et al. 2021 (DDIM), appendix
    D.1, as ``quad``.

    Returns:
        alpha_bar, ``[timesteps + 1]``, float64, in (0, 1], its last entry 0 if so chosen.

    Raises:
        ValueError: timesteps is not a whole number of at least 1, a beta is not in (0, 1), or
            rescaling would take one there.
    """
    _check(timesteps, beta_start, beta_end)
    roots = torch.linspace(beta_start**0.5, beta_end**0.5, timesteps, dtype=torch.float64)
    return _table(roots**2, rescale, zero_terminal_snr)


def sigmoid(
    timesteps: int,
    beta_start: float = 1e-4,
    beta_end: float = 0.02,
    rescale: bool = False,
    zero_terminal_snr: bool = False,
) -> Tensor:
    """beta_t = beta_start + (beta_end - beta_start) sigmoid(u_t), u_t evenly from -6 to 6.

    Xu et al. 2022 (GeoDiff), and diffusers under this name. The ``sigmoid`` of lucidrains is
    another: there alpha_bar itself is a sigmoid (Jabri et al. 2022, figure 8).

    Returns:
        alpha_bar, ``[timesteps + 1]``, float64, in (0, 1], its last entry 0 if so chosen.

    Raises:
        ValueError: timesteps is not a whole number of at least 1, a beta is not in (0, 1), or
            rescaling would take one there.
    """
    _check(timesteps, beta_start, beta_end)
    u = torch.linspace(-6, 6, timesteps, dtype=torch.float64)
    betas = beta_start + (beta_end - beta_start) * u.sigmoid()
    return _table(betas, rescale, zero_terminal_snr)


def cosine(
    timesteps: int,
    offset: float = 0.008,
    max_beta: float = 0.999,
    zero_terminal_snr: bool = False,
) -> Tensor:
    """alpha_bar_t = f(t) / f(0), f(t) = cos^2(pi/2 (t/T + offset) / (1 + offset)).

    Nichol and Dhariwal 2021, equation 17; each beta_t is at most ``max_beta``, as there.

    Returns:
        alpha_bar, ``[timesteps + 1]``, float64, in (0, 1], its last entry 0 if so chosen.

    Raises:
        ValueError: timesteps is not a whole number of at least 1, offset is not in [0, 1], or
            max_beta is not in (0, 1).
    """
    check_whole("schedule.timesteps", timesteps, 1, MAX_TIMESTEPS)
    check_between("schedule.offset", offset, 0, 1)
    check_between("schedule.max_beta", max_beta, 0, 1, open_=True)
    t = torch.arange(timesteps + 1, dtype=torch.float64)
    f = torch.cos((t / timesteps + offset) / (1 + offset) * math.pi / 2) ** 2
    return _table((1 - f[1:] / f[:-1]).clamp(max=max_beta), False, zero_terminal_snr)


def check_schedule(schedule: object) -> None:
    """Refuse what is no table of alpha_bar.

    Raises:
        ValueError: naming the key.
    """
    if not isinstance(schedule, Tensor) or schedule.dim() != 1 or len(schedule) < 2:
        raise ValueError(
            "degradation.schedule must be a schedule, a choice of the group schedule, got "
            f"{shown(schedule)}"
        )


def alpha_bar_of(betas: Tensor) -> Tensor:
    """The table of T + 1 entries from T betas: ``alpha_bar[t] = prod_{s <= t} (1 - beta_s)``."""
    return torch.cat([betas.new_ones(1), torch.cumprod(1 - betas, dim=0)])


def betas_of(alpha_bar: Tensor) -> Tensor:
    """The T betas ``1 - alpha_bar[t] / alpha_bar[t - 1]``, t = 1..T, of a T + 1 entry table."""
    return 1 - alpha_bar[1:] / alpha_bar[:-1]


def rescaled(betas: Tensor) -> Tensor:
    """The T betas times 1000 / T, so that any T ends about as noisy as T = 1000 does.

    Nichol and Dhariwal 2021, as published with their code.

    Raises:
        ValueError: a beta would reach 1.
    """
    scale, largest = PUBLISHED_TIMESTEPS / len(betas), betas.max().item()
    if scale * largest >= 1:
        raise ValueError(
            f"schedule.rescale=true takes the largest beta from {largest:g} to {scale * largest:g}"
            f" (times {PUBLISHED_TIMESTEPS} / schedule.timesteps), and a beta must stay below 1;"
            f" use schedule.timesteps={math.floor(PUBLISHED_TIMESTEPS * largest) + 1} or more,"
            " smaller betas, or schedule.rescale=false"
        )
    return scale * betas


def to_zero_terminal_snr(alpha_bar: Tensor) -> Tensor:
    """The table with sqrt(alpha_bar) shifted so that T ends at 0, stretched so that 1 stays.

    Lin et al. 2023, Algorithm 1: x_T is then noise alone.

    Raises:
        ValueError: T is 1, and the same step would have to end and to stay.
    """
    if len(alpha_bar) < 3:
        raise ValueError(
            "schedule.zero_terminal_snr=true keeps the first step and moves the last; it needs "
            "schedule.timesteps=2 or more"
        )
    roots = alpha_bar[1:].sqrt()
    stretched = (roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])
    return torch.cat([alpha_bar[:1], stretched**2])


def _check(timesteps: int, beta_start: float, beta_end: float) -> None:
    check_whole("schedule.timesteps", timesteps, 1, MAX_TIMESTEPS)
    check_between("schedule.beta_start", beta_start, 0, 1, open_=True)
    check_between("schedule.beta_end", beta_end, 0, 1, open_=True)


def _table(betas: Tensor, rescale: bool, zero_terminal_snr: bool) -> Tensor:
    check_bool("schedule.rescale", rescale)
    check_bool("schedule.zero_terminal_snr", zero_terminal_snr)
    alpha_bar = alpha_bar_of(rescaled(betas) if rescale else betas)
    return to_zero_terminal_snr(alpha_bar) if zero_terminal_snr else alpha_bar

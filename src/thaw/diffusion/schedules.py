"""Noise schedules: functions ``(timesteps, ...) -> alpha_bar``, float64 tables of T + 1 entries.

Entry 0 is the clean image, ``alpha_bar[0] = 1``; ``alpha_bar[t] = prod_{s <= t} (1 - beta_s)``, in
(0, 1). With ``zero_terminal_snr`` the last entry is 0, see :func:`to_zero_terminal_snr`. With
``rescale`` betas meant for T = 1000 fit any T, see :func:`rescaled`.
"""

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Gt, Lt, MinLen
from torch import Tensor

from thaw.checks import Count, Share, checked

Beta = Annotated[float, Gt(0), Lt(1)]
# The T that the published betas are meant for.
PUBLISHED_TIMESTEPS = 1000
# An alpha_bar_T below this leaves nothing of the image: even all 784 pixels of a digit together, of
# mean square 0.2, are then within 0.4 standard deviations of the noise. The linear betas end at
# 4e-5; latent diffusion's, at 5e-3, leave the brightness (Lin et al. 2023, table 1).
NOTHING_LEFT = 1e-3


@checked
def linear(
    timesteps: Count,
    beta_start: Beta = 1e-4,
    beta_end: Beta = 0.02,
    rescale: bool = False,
    zero_terminal_snr: bool = False,
) -> Tensor:
    """beta_t evenly spaced from ``beta_start`` to ``beta_end`` (Ho et al. 2020, section 4).

    >>> alpha_bar = linear(1000)
    >>> len(alpha_bar), alpha_bar[0].item()
    (1001, 1.0)
    >>> f"{alpha_bar[-1]:.1e}"
    '4.0e-05'

    Betas meant for 1,000 steps leave most of the image after 100, unless they are rescaled:

    >>> f"{linear(100)[-1]:.2f}, {linear(100, rescale=True)[-1]:.0e}"
    '0.36, 2e-05'
    """
    betas = torch.linspace(beta_start, beta_end, timesteps, dtype=torch.float64)
    return _table(betas, rescale, zero_terminal_snr)


@checked
def quadratic(
    timesteps: Count,
    beta_start: Beta = 1e-4,
    beta_end: Beta = 0.02,
    rescale: bool = False,
    zero_terminal_snr: bool = False,
) -> Tensor:
    """sqrt(beta_t) evenly spaced: the ``scaled_linear`` of latent diffusion.

    Rombach et al. 2022, from 0.00085 to 0.012; also Song et al. 2021 (DDIM), appendix D.1, as
    ``quad``.
    """
    roots = torch.linspace(beta_start**0.5, beta_end**0.5, timesteps, dtype=torch.float64)
    return _table(roots**2, rescale, zero_terminal_snr)


@checked
def sigmoid(
    timesteps: Count,
    beta_start: Beta = 1e-4,
    beta_end: Beta = 0.02,
    rescale: bool = False,
    zero_terminal_snr: bool = False,
) -> Tensor:
    """beta_t = beta_start + (beta_end - beta_start) sigmoid(u_t), u_t evenly from -6 to 6.

    Xu et al. 2022 (GeoDiff), and diffusers under this name. In the ``sigmoid`` of lucidrains
    alpha_bar itself is a sigmoid (Jabri et al. 2022, figure 8).
    """
    u = torch.linspace(-6, 6, timesteps, dtype=torch.float64)
    betas = beta_start + (beta_end - beta_start) * u.sigmoid()
    return _table(betas, rescale, zero_terminal_snr)


@checked
def cosine(
    timesteps: Count,
    offset: Share = 0.008,
    max_beta: Beta = 0.999,
    zero_terminal_snr: bool = False,
) -> Tensor:
    """alpha_bar_t = f(t) / f(0), f(t) = cos^2(pi/2 (t/T + offset) / (1 + offset)).

    Nichol and Dhariwal 2021, equation 17; each beta_t is at most ``max_beta``, as there.

    >>> cosine(4).round(decimals=2).tolist()
    [1.0, 0.85, 0.49, 0.14, 0.0]
    """
    t = torch.arange(timesteps + 1, dtype=torch.float64)
    f = torch.cos((t / timesteps + offset) / (1 + offset) * math.pi / 2) ** 2
    return _table((1 - f[1:] / f[:-1]).clamp(max=max_beta), False, zero_terminal_snr)


@checked
def table(alpha_bar: Annotated[Sequence[Annotated[float, Gt(0), Lt(1)]], MinLen(1)]) -> Tensor:
    """alpha_bar_1 to alpha_bar_T as they are given, each below the one before."""
    whole = torch.tensor([1.0, *alpha_bar], dtype=torch.float64)
    if not (whole.diff() < 0).all():
        raise ValueError("alpha_bar must fall from step to step")
    return whole


def alpha_bar_of(betas: Tensor) -> Tensor:
    """The table of T + 1 entries from T betas.

    >>> alpha_bar_of(torch.tensor([0.5, 0.5])).tolist()
    [1.0, 0.5, 0.25]
    """
    return torch.cat([betas.new_ones(1), torch.cumprod(1 - betas, dim=0)])


def betas_of(alpha_bar: Tensor) -> Tensor:
    """The T betas ``1 - alpha_bar[t] / alpha_bar[t - 1]``, t = 1..T, of a T + 1 entry table.

    >>> betas_of(torch.tensor([1.0, 0.5, 0.25])).tolist()
    [0.5, 0.5]
    """
    return 1 - alpha_bar[1:] / alpha_bar[:-1]


def rescaled(betas: Tensor) -> Tensor:
    """The T betas times 1000 / T, so that any T ends about as noisy as T = 1000 does.

    Nichol and Dhariwal 2021, as published with their code.
    """
    scale, largest = PUBLISHED_TIMESTEPS / len(betas), betas.max().item()
    if scale * largest >= 1:
        raise ValueError(
            f"rescale=true takes the largest beta from {largest:g} to {scale * largest:g} (times "
            f"{PUBLISHED_TIMESTEPS} / timesteps), and a beta must stay below 1; use timesteps="
            f"{math.floor(PUBLISHED_TIMESTEPS * largest) + 1} or more, smaller betas, or "
            "rescale=false"
        )
    return scale * betas


def to_zero_terminal_snr(alpha_bar: Tensor) -> Tensor:
    """The table with sqrt(alpha_bar) shifted so that T ends at 0, stretched so that t = 1 stays.

    Lin et al. 2023, Algorithm 1: x_T is then noise alone.

    >>> to_zero_terminal_snr(torch.tensor([1.0, 0.81, 0.25]).double()).round(decimals=2).tolist()
    [1.0, 0.81, 0.0]
    """
    if len(alpha_bar) < 3:
        raise ValueError(
            "zero_terminal_snr=true keeps the first step and moves the last; it needs timesteps=2 "
            "or more"
        )
    roots = alpha_bar[1:].sqrt()
    stretched = (roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])
    return torch.cat([alpha_bar[:1], stretched**2])


def _table(betas: Tensor, rescale: bool, zero_terminal_snr: bool) -> Tensor:
    alpha_bar = alpha_bar_of(rescaled(betas) if rescale else betas)
    return to_zero_terminal_snr(alpha_bar) if zero_terminal_snr else alpha_bar

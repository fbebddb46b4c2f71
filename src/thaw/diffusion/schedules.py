"""Noise schedules: functions ``(timesteps, ...) -> table``, float64 ``[T + 1, 2]``.

Row t is (signal, sigma) of x_t = signal x_0 + sigma eps; row 0 is the clean image, (1, 0).

Most keep the variance: signal^2 = alpha_bar_t = prod_{s <= t} (1 - beta_s) and sigma^2 =
1 - alpha_bar_t. With ``zero_terminal_snr`` the last alpha_bar is 0, see
:func:`to_zero_terminal_snr`. With ``rescale`` betas meant for T = 1000 fit any T, see
:func:`rescaled`. :func:`flow` and :func:`edm` have other columns.
"""

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Gt, Lt, MinLen
from torch import Tensor

from thaw.checks import Count, Positive, Share, checked

Beta = Annotated[float, Gt(0), Lt(1)]
# The T that the published betas are meant for.
PUBLISHED_TIMESTEPS = 1000
# An alpha_bar_T, or a share of x_T's variance, below this leaves nothing of the image: even all 784
# pixels of a digit together, of mean square 0.2, are then within 0.4 standard deviations of the
# noise. The linear betas end at
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

    >>> table = linear(1000)
    >>> len(table), table[0].tolist()
    (1001, [1.0, 0.0])
    >>> f"{alpha_bar_of(table)[-1]:.1e}"
    '4.0e-05'

    Betas meant for 1,000 steps leave most of the image after 100, unless they are rescaled:

    >>> signal, sigma = linear(100)[-1]
    >>> f"{signal:.2f}, {linear(100, rescale=True)[-1, 0]:.3f}"
    '0.60, 0.005'
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

    >>> alpha_bar_of(cosine(4)).round(decimals=2).tolist()
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
    return variance_preserving(whole)


@checked
def flow(timesteps: Count, shift: Positive = 1.0) -> Tensor:
    """(1 - tau, tau), tau evenly from 0 to 1: the straight path of rectified flow.

    Liu et al. 2023; Lipman et al. 2023, with sigma_min = 0. ``shift`` moves tau towards the noise,
    tau' = shift tau / (1 + (shift - 1) tau), as images of more pixels want (Esser et al. 2024,
    section 5.3.2, where it is the square root of the ratio of the numbers of pixels).

    >>> flow(4, shift=3.0)[:, 1].tolist()
    [0.0, 0.5, 0.75, 0.9, 1.0]
    """
    tau = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
    tau = shift * tau / (1 + (shift - 1) * tau)
    return torch.stack([1 - tau, tau], dim=-1)


@checked
def edm(
    timesteps: Count,
    sigma_min: Positive = 0.002,
    sigma_max: Positive = 80.0,
    rho: Positive = 7.0,
) -> Tensor:
    """(1, sigma_t), sigma_t^(1 / rho) evenly from ``sigma_min`` at t = 1 to ``sigma_max`` at T.

    Karras et al. 2022, equation 5, in the units of the images. Like them it counts in 1 / rho, so
    that evenly spaced steps are theirs.

    >>> edm(3, sigma_min=1.0, sigma_max=9.0, rho=1.0).tolist()
    [[1.0, 0.0], [1.0, 1.0], [1.0, 5.0], [1.0, 9.0]]
    """
    if sigma_min >= sigma_max:
        raise ValueError(f"sigma_min must be below sigma_max={sigma_max:g}, got {sigma_min:g}")
    ends = (sigma_min ** (1 / rho), sigma_max ** (1 / rho))
    # A single step is the last.
    roots = torch.linspace(*ends, max(timesteps, 2), dtype=torch.float64)[-timesteps:]
    sigma = torch.cat([roots.new_zeros(1), roots**rho])
    return torch.stack([torch.ones_like(sigma), sigma], dim=-1)


@checked
def constant(timesteps: Count, sigma: Positive = 0.01) -> Tensor:
    """(1, sigma) at every step but the clean one: noise beside another degradation.

    That of inverse heat dissipation in training (Rissanen et al. 2022).
    """
    table = torch.tensor([1.0, sigma], dtype=torch.float64).repeat(timesteps + 1, 1)
    table[0, 1] = 0
    return table


def variance_preserving(alpha_bar: Tensor) -> Tensor:
    """The table ``[..., 2]`` of (sqrt(alpha_bar), sqrt(1 - alpha_bar)) from ``[...]``."""
    return torch.stack([alpha_bar.sqrt(), (1 - alpha_bar).sqrt()], dim=-1)


def alpha_bar_of(table: Tensor) -> Tensor:
    """signal^2 / (signal^2 + sigma^2) ``[T + 1]``: alpha_bar where the variance is preserved.

    For other tables it is that of x_t scaled to the variance 1, for pixels of variance 1.

    >>> alpha_bar_of(torch.tensor([[1.0, 0.0], [0.5, 0.5], [1.0, 2.0]])).tolist()
    [1.0, 0.5, 0.20000000298023224]
    """
    signal, sigma = table.square().unbind(-1)
    return signal / (signal + sigma)


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
    """alpha_bar with its square root shifted so that T ends at 0, stretched so that t = 1 stays.

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
    alpha_t = 1 - (rescaled(betas) if rescale else betas)
    alpha_bar = torch.cat([betas.new_ones(1), torch.cumprod(alpha_t, dim=0)])
    return variance_preserving(to_zero_terminal_snr(alpha_bar) if zero_terminal_snr else alpha_bar)

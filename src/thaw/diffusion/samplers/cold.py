"""The two samplers of Cold Diffusion, for any degradation."""

import torch
from torch import Generator, Tensor

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.samplers.base import Sampler


class Naive(Sampler):
    """x_s = D(x_0_hat, s) (Bansal et al. 2022, Algorithm 1)."""

    def step(
        self,
        x_t: Tensor,
        x_0_hat: Tensor,
        t: int,
        s: int,
        noise: Tensor,
        degradation: Degradation,
        generator: Generator | None,
    ) -> Tensor:
        x_s: Tensor = degradation(x_0_hat, _steps(s, x_t), noise)
        return x_s


class Cold(Sampler):
    """x_s = x_t - D(x_0_hat, t) + D(x_0_hat, s) (Bansal et al. 2022, Algorithm 2)."""

    def step(
        self,
        x_t: Tensor,
        x_0_hat: Tensor,
        t: int,
        s: int,
        noise: Tensor,
        degradation: Degradation,
        generator: Generator | None,
    ) -> Tensor:
        degraded_t: Tensor = degradation(x_0_hat, _steps(t, x_t), noise)
        degraded_s: Tensor = degradation(x_0_hat, _steps(s, x_t), noise)
        return x_t - degraded_t + degraded_s


def _steps(t: int, x_t: Tensor) -> Tensor:
    return torch.full((len(x_t),), t, device=x_t.device)

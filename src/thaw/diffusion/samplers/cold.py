"""The two samplers of Cold Diffusion, for any degradation."""

import torch
from torch import Generator, Tensor

from thaw.checks import check_bool
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.samplers.base import Sampler
from thaw.diffusion.samplers.grids import Grid


class Algorithm(Sampler):
    """What the two have in common.

    Args:
        num_steps: network evaluations before any last pass, 1..T; None takes all T.
        clip: whether x_0_hat is clipped to the range of the images.
        grid: which times; None is evenly spaced.
        guidance: see :class:`~thaw.diffusion.samplers.base.Sampler`.
        refine: whether a last pass R(x, 1) follows the last step, as in the study that thaw
            reproduces.

    Raises:
        ValueError: one of them is not of that kind.
    """

    def __init__(
        self,
        num_steps: int | None = None,
        clip: bool = True,
        grid: Grid | None = None,
        guidance: float = 1.0,
        refine: bool = False,
    ) -> None:
        super().__init__(num_steps, clip, grid, guidance)
        check_bool("sampler.refine", refine)
        self.is_refined = refine


class Naive(Algorithm):
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


class Cold(Algorithm):
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

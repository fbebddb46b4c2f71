"""The two samplers of Cold Diffusion, for any degradation."""

from torch import Tensor

from thaw.diffusion.degradations.base import Degradation, all_at
from thaw.diffusion.samplers.base import Estimate, Path, Sampler


class Naive(Sampler[Degradation]):
    """x_s = D(x_0_hat, s) (Bansal et al. 2022, Algorithm 1)."""

    stage = "algorithm_1"

    def step(self, now: Estimate, s: int, path: Path[Degradation]) -> Tensor:
        x_s: Tensor = path.degradation(now.x_0_hat, all_at(s, now.x_t), path.noise)
        return x_s


class Cold(Sampler[Degradation]):
    """x_s = x_t - D(x_0_hat, t) + D(x_0_hat, s) (Bansal et al. 2022, Algorithm 2)."""

    stage = "algorithm_2"

    def step(self, now: Estimate, s: int, path: Path[Degradation]) -> Tensor:
        t, x_t, x_0_hat = now
        degraded_t: Tensor = path.degradation(x_0_hat, all_at(t, x_t), path.noise)
        degraded_s: Tensor = path.degradation(x_0_hat, all_at(s, x_t), path.noise)
        return x_t - degraded_t + degraded_s

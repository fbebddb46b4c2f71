"""The two samplers of Cold Diffusion, for any degradation."""

from torch import Tensor

from thaw.checks import Count, NotNegative, checked
from thaw.diffusion.degradations.base import Degradation, all_at
from thaw.diffusion.samplers.base import Estimate, Path, Sampler
from thaw.diffusion.samplers.grids import Grid


class Algorithm(Sampler[Degradation]):
    """What the two have in common: a last pass to choose.

    Args:
        num_steps: network evaluations before any last pass, 1..T; None takes all T.
        clip: whether x_0_hat is clipped to the range of the images.
        grid: the times; None is evenly spaced.
        guidance: see :class:`~thaw.diffusion.samplers.base.Sampler`.
        refine: whether a last pass R(x, 1) follows the last step, as in the study that thaw
            reproduces.
    """

    @checked
    def __init__(
        self,
        num_steps: Count | None = None,
        clip: bool = True,
        grid: Grid | None = None,
        guidance: NotNegative = 1.0,
        refine: bool = False,
    ) -> None:
        super().__init__(num_steps, clip, grid, guidance)
        self.is_refined = refine


class Naive(Algorithm):
    """x_s = D(x_0_hat, s) (Bansal et al. 2022, Algorithm 1)."""

    stage = "algorithm_1"

    def step(self, now: Estimate, s: int, path: Path[Degradation]) -> Tensor:
        x_s: Tensor = path.degradation(now.x_0_hat, all_at(s, now.x_t), path.noise)
        return x_s


class Cold(Algorithm):
    """x_s = x_t - D(x_0_hat, t) + D(x_0_hat, s) (Bansal et al. 2022, Algorithm 2)."""

    stage = "algorithm_2"

    def step(self, now: Estimate, s: int, path: Path[Degradation]) -> Tensor:
        t, x_t, x_0_hat = now
        degraded_t: Tensor = path.degradation(x_0_hat, all_at(t, x_t), path.noise)
        degraded_s: Tensor = path.degradation(x_0_hat, all_at(s, x_t), path.noise)
        return x_t - degraded_t + degraded_s

"""Second-order solvers of the probability-flow ODE, each a DDIM step with a better x_0_hat."""

import math
from dataclasses import dataclass, field
from itertools import pairwise

from torch import Tensor

from thaw.checks import checked
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.samplers.base import Estimate, Path
from thaw.diffusion.samplers.gaussian import DDIM


@checked
@dataclass(eq=False)
class Solver(DDIM[Gaussian]):
    """DDIM at eta = 0, the ODE's first-order solver, without an eta to choose."""

    needs = Gaussian
    eta: float = field(default=0.0, init=False)


class DPMSolver(Solver):
    """DPM-Solver++(2M): x_0_hat + (x_0_hat - x_0_hat_u) / 2r (Lu et al. 2022, Algorithm 2).

    u is the time before t, r = (lambda_t - lambda_u) / (lambda_s - lambda_t), lambda half the log
    signal-to-noise ratio. One network evaluation a step; the first step, and the last into
    sigma = 0, are of first order. "DPM-Solver++", arXiv 2211.01095.
    """

    def improve(
        self, now: Estimate, s: int, path: Path[Gaussian], before: Estimate | None
    ) -> Estimate:
        ab = path.degradation.schedule
        if before is None or ab[s] == 1:
            return now
        at_u, at_t, at_s = (log_snr(ab[time]) for time in (before.t, now.t, s))
        change = (at_s - at_t) / (2 * (at_t - at_u)) * (now.x_0_hat - before.x_0_hat)
        return now._replace(x_0_hat=now.x_0_hat + change)


class Heun(Solver):
    """EDM's deterministic sampler, the trapezoid rule in sigma (Karras et al. 2022, Algorithm 1).

    Of y = x / sqrt(ab) and sigma = sqrt((1 - ab) / ab), dy/dsigma = (y - x_0_hat) / sigma. The mean
    of that slope at t and at the Euler point of s is the slope with x_0_hat replaced by
    x_0_hat + sigma_t / (2 sigma_s) (x_0_hat_s - x_0_hat). Two evaluations a step; one where the
    slope does not exist: into sigma = 0, the last step, and out of alpha_bar = 0.
    """

    def num_evaluations(self, degradation: Gaussian) -> int:
        ab = degradation.schedule
        times = self.times(degradation.num_steps)
        slopes = sum(_has_slopes(ab[t], ab[s]) for t, s in pairwise(times))
        return len(times) - 1 + slopes + self.refine

    def improve(
        self, now: Estimate, s: int, path: Path[Gaussian], before: Estimate | None
    ) -> Estimate:
        ab = path.degradation.schedule
        if not _has_slopes(ab[now.t], ab[s]):
            return now
        ahead = self.estimate(s, self.step(now, s, path), path)
        ratio = math.exp((log_snr(ab[s]) - log_snr(ab[now.t])) / 2)
        return now._replace(x_0_hat=now.x_0_hat + ratio / 2 * (ahead.x_0_hat - now.x_0_hat))


def log_snr(ab: Tensor) -> float:
    """log(alpha_bar / (1 - alpha_bar)), -inf at alpha_bar = 0; for alpha_bar < 1."""
    return ab.logit().item()


def _has_slopes(ab_t: Tensor, ab_s: Tensor) -> bool:
    return bool(ab_t > 0 and ab_s < 1)

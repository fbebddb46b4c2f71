"""Second-order solvers of the probability-flow ODE, each a DDIM step with a better x_0_hat."""

import math
from dataclasses import dataclass, field
from itertools import pairwise

from thaw.checks import checked
from thaw.diffusion.degradations.gaussian import Gaussian, Scales
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

    u is the time before t, r = (lambda_t - lambda_u) / (lambda_s - lambda_t), lambda = log(a / b)
    of x_t = a x_0 + b eps. One network evaluation a step; the first step, and the last into
    sigma = 0, are of first order. "DPM-Solver++", arXiv 2211.01095.
    """

    def improve(
        self, now: Estimate, s: int, path: Path[Gaussian], before: Estimate | None
    ) -> Estimate:
        scales = [path.degradation.scales_at(time) for time in (now.t, s)]
        if before is None or scales[-1].sigma == 0:
            return now
        scales.insert(0, path.degradation.scales_at(before.t))
        at_u, at_t, at_s = map(log_ratio, scales)
        change = (at_s - at_t) / (2 * (at_t - at_u)) * (now.x_0_hat - before.x_0_hat)
        return now._replace(x_0_hat=now.x_0_hat + change)


class Heun(Solver):
    """EDM's deterministic sampler, the trapezoid rule in sigma (Karras et al. 2022, Algorithm 1).

    With y = x_t / a_t and sigma = b_t / a_t, dy/dsigma = (y - x_0_hat) / sigma. The mean of that
    slope at t and at the Euler point of s is the slope with x_0_hat replaced by
    x_0_hat + sigma_t / (2 sigma_s) (x_0_hat_s - x_0_hat). Two evaluations a step; one where the
    slope does not exist: into sigma = 0, the last step, and out of a_t = 0.
    """

    def num_evaluations(self, degradation: Gaussian) -> int:
        times = self.times(degradation.num_steps)
        slopes = sum(_has_slopes(*map(degradation.scales_at, both)) for both in pairwise(times))
        return len(times) - 1 + slopes + self.refine

    def improve(
        self, now: Estimate, s: int, path: Path[Gaussian], before: Estimate | None
    ) -> Estimate:
        at_t, at_s = (path.degradation.scales_at(time) for time in (now.t, s))
        if not _has_slopes(at_t, at_s):
            return now
        ahead = self.estimate(s, self.step(now, s, path), path)
        ratio = math.exp(log_ratio(at_s) - log_ratio(at_t))
        return now._replace(x_0_hat=now.x_0_hat + ratio / 2 * (ahead.x_0_hat - now.x_0_hat))


def log_ratio(scales: Scales) -> float:
    """log(a / b), half the log signal-to-noise ratio: -inf at a = 0; for b > 0."""
    return (scales.signal / scales.sigma).log().item()


def _has_slopes(at_t: Scales, at_s: Scales) -> bool:
    return bool(at_t.signal > 0 and at_s.sigma > 0)

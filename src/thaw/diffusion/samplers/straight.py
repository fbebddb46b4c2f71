"""The sampler of straight paths."""

from torch import Tensor

from thaw.diffusion.degradations.straight import StraightPath
from thaw.diffusion.samplers.base import Estimate, Path, Sampler


class InDI(Sampler[StraightPath]):
    """x_s = s / t x_t + (1 - s / t) x_0_hat (Delbracio and Milanfar 2023, their update).

    The Euler step of the flow dx/dt = (x_t - x_0_hat) / t, and Algorithm 2 of Cold Diffusion with
    the end of the path inferred, y_hat = (x_t - (1 - tau_t) x_0_hat) / tau_t, as DDIM infers the
    noise; so D itself is not asked. It is also ``Cold`` with the correction s / t of each step, for
    which D(x_0_hat, T) cancels.
    """

    needs = StraightPath

    def step(self, now: Estimate, s: int, path: Path[StraightPath]) -> Tensor:
        kept = s / now.t
        return kept * now.x_t + (1 - kept) * now.x_0_hat

"""Samplers of Gaussian diffusion: DDIM, and ancestral sampling as its eta = 1."""

from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor
from typing_extensions import TypeVar

from thaw.checks import Share, checked
from thaw.diffusion.degradations.gaussian import Noising, Scales
from thaw.diffusion.samplers.base import Estimate, Path, Sampler

N = TypeVar("N", bound=Noising, default=Noising)
Variance = Literal["small", "large"]
VARIANCES: tuple[Variance, ...] = get_args(Variance)


@checked
@dataclass(eq=False)
class DDIM(Sampler[N]):
    """x_s = a_s x_0_hat + sqrt(b_s^2 - sigma^2) eps_hat + sigma z (Song et al. 2021).

    Equations 12 and 16 in terms of x_t = a_t x_0 + b_t eps, for any s < t: sigma^2 = eta^2
    b_s^2 / b_t^2 (b_t^2 - b_s^2 a_t^2 / a_s^2), and eps_hat is inferred from x_t and the (clipped)
    x_0_hat. With eta = 0 this is Algorithm 2 of Cold Diffusion with the inferred noise, and the
    Euler step of a flow; with eta = 1, ancestral sampling.

    All of it happens in the basis of the noise. Coordinates that are still clean at t stay as they
    are, whatever x_0_hat says.

    Args:
        eta: 0 (deterministic) to 1 (the posterior's small variance).
    """

    needs = Noising  # type: ignore[assignment]
    eta: Share = 0.0

    def options(self) -> list[str]:
        return [f"eta {self.eta:g}"] if self.eta else []

    def step(self, now: Estimate, s: int, path: Path[N]) -> Tensor:
        noising = path.degradation
        at_t, at_s = noising.scales_at(now.t), noising.scales_at(s)
        left = at_s.sigma**2 - self.eta**2 * posterior_variance(at_t, at_s)
        # z_s = a_s z_0_hat + sqrt(left) (z_t - a_t z_0_hat) / b_t
        of_z_t = ratio(left.clamp(min=0).sqrt(), at_t.sigma)
        of_z_0_hat = at_s.signal - of_z_t * at_t.signal
        # Without noise, a coordinate that has not faded shows z_0 too.
        is_clean = at_t._replace(sigma=noising.spread * at_t.sigma).is_clean
        of_z_t, of_z_0_hat = of_z_t.where(~is_clean, 1.0), of_z_0_hat * ~is_clean
        z_t, z_0_hat = noising.to_basis(now.x_t), noising.to_basis(now.x_0_hat)
        mean = noising.from_basis(scaled(of_z_t, z_t) + scaled(of_z_0_hat, z_0_hat))
        return self._add_noise(mean, self.eta * self.deviation(at_t, at_s), path)

    def deviation(self, at_t: Scales, at_s: Scales) -> Tensor:
        """The standard deviation of the noise added at eta = 1."""
        return posterior_variance(at_t, at_s).sqrt()

    def _add_noise(self, mean: Tensor, deviation: Tensor, path: Path[N]) -> Tensor:
        if not deviation.any():
            return mean
        z = torch.randn(mean.shape, generator=path.generator, dtype=mean.dtype, device=mean.device)
        noising = path.degradation
        return mean + noising.from_basis(scaled(deviation, noising.noise_in_basis(z)))


@checked
@dataclass(eq=False)
class Ancestral(DDIM[Noising]):
    """x_s ~ N(mu(x_t, x_0_hat), sigma^2 I) (Ho et al. 2020, equations 6, 7 and Algorithm 2).

    The posterior mean is DDIM's at eta = 1. ``variance=small`` is the posterior's beta_tilde,
    right for a single x_0. ``large`` is right for pixels x_0 ~ N(0, I): r_s^2 / r_t^2 beta with
    r_t^2 = a_t^2 + b_t^2, of noise in a basis the largest, which is beta where the variance is
    preserved (their section 3.2). Both are respaced to any s < t through ratios of the tables; at
    s = 0 no noise.
    """

    eta: float = field(default=1.0, init=False)
    variance: Variance = "small"

    def options(self) -> list[str]:
        return ["large variance"] if self.variance == "large" else []

    def deviation(self, at_t: Scales, at_s: Scales) -> Tensor:
        small = super().deviation(at_t, at_s)
        if self.variance == "small":
            return small
        scale = torch.hypot(*at_s).max() / torch.hypot(*at_t).max()
        return torch.where(at_s.sigma > 0, scale * beta(at_t, at_s).sqrt(), small)


def scaled(coefficient: Tensor, x: Tensor) -> Tensor:
    """A coefficient on the host times images x, without waiting for their device.

    A single number stays where it is: torch takes it along with the operation.
    """
    device = x.device if coefficient.dim() else None
    return coefficient.to(device, x.dtype, non_blocking=True) * x


def posterior_variance(at_t: Scales, at_s: Scales) -> Tensor:
    """beta_tilde = b_s^2 / b_t^2 beta: of x_s given x_t and x_0; 0 at s = 0 by arithmetic."""
    return ratio(at_s.sigma, at_t.sigma) ** 2 * beta(at_t, at_s)


def beta(at_t: Scales, at_s: Scales) -> Tensor:
    """b_t^2 - b_s^2 a_t^2 / a_s^2, the variance of x_t given x_s; 0 where a_s is 0 already.

    Where the variance is preserved it is 1 - alpha_bar_t / alpha_bar_s.
    """
    carried = at_s.sigma * ratio(at_t.signal, at_s.signal)
    return (at_t.sigma**2 - carried**2).clamp(min=0) * (at_s.signal > 0)


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 where b is 0."""
    return torch.where(b == 0, 0.0, a / torch.where(b == 0, 1.0, b))

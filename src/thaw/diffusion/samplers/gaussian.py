"""Samplers of Gaussian diffusion: DDIM, and ancestral sampling as its eta = 1."""

from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor
from typing_extensions import TypeVar

from thaw.checks import Share, checked
from thaw.diffusion.degradations.gaussian import Noising
from thaw.diffusion.samplers.base import Estimate, Path, Sampler

N = TypeVar("N", bound=Noising, default=Noising)
Variance = Literal["small", "large"]
VARIANCES: tuple[Variance, ...] = get_args(Variance)


@checked
@dataclass(eq=False)
class DDIM(Sampler[N]):
    """x_s = sqrt(ab_s) x_0_hat + sqrt(1 - ab_s - sigma^2) eps_hat + sigma z (Song et al. 2021).

    Equations 12 and 16, for any s < t: sigma^2 = eta^2 (1 - ab_s) / (1 - ab_t) (1 - ab_t / ab_s),
    and eps_hat is inferred from x_t and the (clipped) x_0_hat. With eta = 0 this is Algorithm 2
    of Cold Diffusion with the inferred noise; with eta = 1, ancestral sampling.

    Where the degradation keeps a part K x_0 of the image, this happens to the residual R alone:
    x_s has the K x_t of x_t. Pixels that are still clean at t stay as they are.

    Args:
        eta: 0 (deterministic) to 1 (the posterior's small variance).
    """

    needs = Noising  # type: ignore[assignment]
    eta: Share = 0.0

    def options(self) -> list[str]:
        return [f"eta {self.eta:g}"] if self.eta else []

    def step(self, now: Estimate, s: int, path: Path[N]) -> Tensor:
        noising = path.degradation
        ab_t, ab_s = noising.alpha_bar_at(now.t), noising.alpha_bar_at(s)
        direction = (1 - ab_s - self.eta**2 * posterior_variance(ab_t, ab_s)).clamp(min=0).sqrt()
        # x_s = K x_t + sqrt(ab_s) x_0_hat + direction (x_t - sqrt(ab_t) x_0_hat) / sqrt(1 - ab_t),
        # the last two of the residuals; what is clean at t is known, whatever x_0_hat says.
        of_x_t = ratio(direction, (1 - ab_t).sqrt())
        of_x_0_hat = ab_s.sqrt() - of_x_t * ab_t.sqrt()
        is_clean = ab_t == 1
        of_x_t, of_x_0_hat = of_x_t + is_clean.double(), of_x_0_hat * ~is_clean
        x_t, x_0_hat = noising.residual(now.x_t), noising.residual(now.x_0_hat)
        mean = now.x_t - x_t + scaled(of_x_t, x_t) + scaled(of_x_0_hat, x_0_hat)
        return self._add_noise(mean, self.eta * self.deviation(ab_t, ab_s), path)

    def deviation(self, ab_t: Tensor, ab_s: Tensor) -> Tensor:
        """The standard deviation of the noise added at eta = 1."""
        return posterior_variance(ab_t, ab_s).sqrt()

    def _add_noise(self, mean: Tensor, deviation: Tensor, path: Path[N]) -> Tensor:
        if not deviation.any():
            return mean
        z = torch.randn(mean.shape, generator=path.generator, dtype=mean.dtype, device=mean.device)
        noising = path.degradation
        return mean + scaled(noising.spread * deviation, noising.residual(z))


@checked
@dataclass(eq=False)
class Ancestral(DDIM[Noising]):
    """x_s ~ N(mu(x_t, x_0_hat), sigma^2 I) (Ho et al. 2020, equations 6, 7 and Algorithm 2).

    The posterior mean is DDIM's at eta = 1. ``variance=small`` is the posterior's beta_tilde,
    ``large`` is beta, both respaced to any s < t through alpha_bar ratios; at s = 0 no noise.
    """

    eta: float = field(default=1.0, init=False)
    variance: Variance = "small"

    def options(self) -> list[str]:
        return ["large variance"] if self.variance == "large" else []

    def deviation(self, ab_t: Tensor, ab_s: Tensor) -> Tensor:
        small = super().deviation(ab_t, ab_s)
        if self.variance == "small":
            return small
        return torch.where(ab_s < 1, beta(ab_t, ab_s).sqrt(), small)


def scaled(coefficient: Tensor, x: Tensor) -> Tensor:
    """A coefficient on the host times images x, without waiting for their device.

    A single number stays where it is: torch takes it along with the operation.
    """
    device = x.device if coefficient.dim() else None
    return coefficient.to(device, x.dtype, non_blocking=True) * x


def posterior_variance(ab_t: Tensor, ab_s: Tensor) -> Tensor:
    """beta_tilde = (1 - ab_s) / (1 - ab_t) (1 - ab_t / ab_s), 0 at s = 0 by arithmetic."""
    return ratio(1 - ab_s, 1 - ab_t) * beta(ab_t, ab_s)


def beta(ab_t: Tensor, ab_s: Tensor) -> Tensor:
    """1 - ab_t / ab_s, for s < t; 0 where alpha_bar_s is 0 already."""
    return (1 - ratio(ab_t, ab_s)) * (ab_s > 0)


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 where b is 0."""
    return torch.where(b == 0, 0.0, a / torch.where(b == 0, 1.0, b))

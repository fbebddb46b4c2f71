"""Samplers of Gaussian diffusion: DDIM, and ancestral sampling as its eta = 1."""

import torch
from torch import Generator, Tensor

from thaw.checks import check_between, check_choice
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.noising import Noising
from thaw.diffusion.predictions import require_noising
from thaw.diffusion.samplers.base import Sampler
from thaw.diffusion.samplers.grids import Grid

VARIANCES = ("small", "large")


class DDIM(Sampler):
    """x_s = sqrt(ab_s) x_0_hat + sqrt(1 - ab_s - sigma^2) eps_hat + sigma z (Song et al. 2021).

    Equations 12 and 16, for any s < t: sigma^2 = eta^2 (1 - ab_s) / (1 - ab_t) (1 - ab_t / ab_s),
    and eps_hat is inferred from x_t and the (clipped) x_0_hat. With eta = 0 this is Algorithm 2
    of Cold Diffusion with the inferred noise; with eta = 1, ancestral sampling.

    Where the degradation keeps a part K x_0 of the image, this happens to the residual R alone:
    x_s has the K x_t of x_t. Pixels that are still clean at t stay as they are.

    Args:
        num_steps: network evaluations, 1..T; None takes all T.
        eta: 0 (deterministic) to 1 (the posterior's small variance).
        clip: whether x_0_hat is clipped to the range of the images.
        grid: which times; None is evenly spaced.

    Raises:
        ValueError: eta outside [0, 1].
    """

    def __init__(
        self,
        num_steps: int | None = None,
        eta: float = 0.0,
        clip: bool = True,
        grid: Grid | None = None,
        guidance: float = 1.0,
    ) -> None:
        super().__init__(num_steps, clip, grid, guidance)
        check_between("sampler.eta", eta, 0, 1)
        self.eta = eta

    def check(self, degradation: Degradation) -> None:
        super().check(degradation)
        name = type(self).__name__.lower()
        require_noising(degradation, f"sampler={name}", "sampler=cold or sampler=naive")

    def options(self) -> list[str]:
        return [f"eta {self.eta:g}"] if self.eta else []

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
        noising = require_noising(degradation, "", "")
        ab_t, ab_s = noising.alpha_bar_at(t), noising.alpha_bar_at(s)
        deviation = self.eta * self.deviation(ab_t, ab_s)
        direction = (1 - ab_s - self.eta**2 * posterior_variance(ab_t, ab_s)).clamp(min=0).sqrt()
        # x_s = K x_t + sqrt(ab_s) x_0_hat + direction (x_t - sqrt(ab_t) x_0_hat) / sqrt(1 - ab_t),
        # the last two of the residuals; what is clean at t is known, whatever x_0_hat says.
        of_x_t = ratio(direction, (1 - ab_t).sqrt())
        of_x_0_hat = ab_s.sqrt() - of_x_t * ab_t.sqrt()
        is_clean = ab_t == 1
        of_x_t, of_x_0_hat = of_x_t + is_clean.double(), of_x_0_hat * ~is_clean
        now, estimate = noising.residual(x_t), noising.residual(x_0_hat)
        mean = x_t - now + on(x_t, of_x_t) * now + on(x_t, of_x_0_hat) * estimate
        return self._add_noise(mean, deviation, noising, generator)

    def deviation(self, ab_t: Tensor, ab_s: Tensor) -> Tensor:
        """The standard deviation of the noise added at eta = 1."""
        return posterior_variance(ab_t, ab_s).sqrt()

    @staticmethod
    def _add_noise(
        mean: Tensor, deviation: Tensor, noising: Noising, generator: Generator | None
    ) -> Tensor:
        if not deviation.any():
            return mean
        z = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return mean + on(mean, noising.spread * deviation) * noising.residual(z)


class Ancestral(DDIM):
    """x_s ~ N(mu(x_t, x_0_hat), sigma^2 I) (Ho et al. 2020, equations 6, 7 and Algorithm 2).

    The posterior mean is DDIM's at eta = 1. ``variance=small`` is the posterior's beta_tilde,
    ``large`` is beta, both respaced to any s < t through alpha_bar ratios; at s = 0 no noise.

    Raises:
        ValueError: unknown variance.
    """

    def __init__(
        self,
        num_steps: int | None = None,
        variance: str = "small",
        clip: bool = True,
        grid: Grid | None = None,
        guidance: float = 1.0,
    ) -> None:
        super().__init__(num_steps, eta=1.0, clip=clip, grid=grid, guidance=guidance)
        check_choice("sampler.variance", variance, VARIANCES)
        self.variance = variance

    def options(self) -> list[str]:
        return ["large variance"] if self.variance == "large" else []

    def deviation(self, ab_t: Tensor, ab_s: Tensor) -> Tensor:
        small = super().deviation(ab_t, ab_s)
        if self.variance == "small":
            return small
        return torch.where(ab_s < 1, beta(ab_t, ab_s).sqrt(), small)


def on(x: Tensor, coefficient: Tensor) -> Tensor:
    """A coefficient of the host for images x, in their type, without waiting for their device.

    A single number stays where it is: torch takes it along with the operation.
    """
    device = x.device if coefficient.dim() else None
    return coefficient.to(device, x.dtype, non_blocking=True)


def posterior_variance(ab_t: Tensor, ab_s: Tensor) -> Tensor:
    """beta_tilde = (1 - ab_s) / (1 - ab_t) (1 - ab_t / ab_s), 0 at s = 0 by arithmetic."""
    return ratio(1 - ab_s, 1 - ab_t) * beta(ab_t, ab_s)


def beta(ab_t: Tensor, ab_s: Tensor) -> Tensor:
    """1 - ab_t / ab_s, for s < t; 0 where nothing is left of the image at s already."""
    return (1 - ratio(ab_t, ab_s)) * (ab_s > 0)


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 where b is 0."""
    return torch.where(b == 0, 0.0, a / torch.where(b == 0, 1.0, b))

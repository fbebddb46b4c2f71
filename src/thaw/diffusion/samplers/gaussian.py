"""Samplers of Gaussian diffusion: DDIM, and ancestral sampling as its eta = 1."""

import math

import torch
from torch import Generator, Tensor

from thaw.checks import check_between, check_choice
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.predictions import require_gaussian
from thaw.diffusion.samplers.base import Sampler
from thaw.diffusion.samplers.grids import Grid

VARIANCES = ("small", "large")


class DDIM(Sampler):
    """x_s = sqrt(ab_s) x_0_hat + sqrt(1 - ab_s - sigma^2) eps_hat + sigma z (Song et al. 2021).

    Equations 12 and 16, for any s < t: sigma^2 = eta^2 (1 - ab_s) / (1 - ab_t) (1 - ab_t / ab_s),
    and eps_hat is inferred from x_t and the (clipped) x_0_hat. With eta = 0 this is Algorithm 2
    of Cold Diffusion with the inferred noise; with eta = 1, ancestral sampling.

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
        require_gaussian(degradation, f"sampler={name}", "sampler=cold or sampler=naive")

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
        ab = require_gaussian(degradation, "", "").alpha_bar
        posterior = posterior_variance(ab[t], ab[s])
        eps_hat = (x_t - math.sqrt(ab[t]) * x_0_hat) / math.sqrt(1 - ab[t])
        direction = math.sqrt(max(1 - ab[s] - self.eta**2 * posterior, 0.0))
        mean = math.sqrt(ab[s]) * x_0_hat + direction * eps_hat
        return self.add_noise(mean, self.eta * self.deviation(ab[t], ab[s]), generator)

    def deviation(self, ab_t: float, ab_s: float) -> float:
        """The standard deviation of the noise added at eta = 1."""
        return math.sqrt(posterior_variance(ab_t, ab_s))

    @staticmethod
    def add_noise(mean: Tensor, deviation: float, generator: Generator | None) -> Tensor:
        """mean + deviation z, z standard normal; nothing is drawn where the deviation is 0."""
        if deviation == 0:
            return mean
        z = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return mean + deviation * z


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

    def deviation(self, ab_t: float, ab_s: float) -> float:
        if self.variance == "large" and ab_s < 1:
            return math.sqrt(1 - ab_t / ab_s)
        return super().deviation(ab_t, ab_s)


def posterior_variance(ab_t: float, ab_s: float) -> float:
    """beta_tilde = (1 - ab_s) / (1 - ab_t) (1 - ab_t / ab_s), 0 at s = 0 by arithmetic."""
    return (1 - ab_s) / (1 - ab_t) * (1 - ab_t / ab_s)

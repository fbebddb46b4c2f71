"""The two samplers of Cold Diffusion, for any degradation, and what lies between them."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from thaw.checks import NotNegative, Share, checked
from thaw.diffusion.degradations.base import Degradation, all_at
from thaw.diffusion.degradations.gaussian import Noising
from thaw.diffusion.samplers.base import SAMPLED, Estimate, Path, Sampler

ALGORITHM_1, ALGORITHM_2 = "algorithm_1", "algorithm_2"
# Standard deviation up to which noise is a trace, in the units of the images.
TRACE = 0.1


@checked
@dataclass(eq=False)
class Cold(Sampler[Degradation]):
    """x_s = D(x_0_hat, s) + lambda (x_t - D(x_0_hat, t)), lambda the correction.

    With lambda = 1 this is Algorithm 2 of Bansal et al. 2022, with lambda = 0 Algorithm 1: lambda
    is the share that stays of what x_t shows beside x_0_hat, degraded to t.

    With Gaussian noise, x_t = a_t x_0_hat + b_t eps_hat, a step from t to s with noise z is

        x_s = a_s x_0_hat + lambda b_t eps_hat + (b_s - lambda b_t) z.

    If z is the inferred noise eps_hat, this is DDIM with eta = 0 for every lambda. For any other z
    it is so for lambda = b_s / b_t alone, where z cancels. If z is drawn anew in each step, lambda
    is what eta is in DDIM: the mean given x_t is DDIM's (Song et al. 2021, equation 12) for

        lambda b_t = sqrt(b_s^2 - sigma^2),
        sigma = eta b_s / b_t sqrt(b_t^2 - b_s^2 a_t^2 / a_s^2),

    from b_s / b_t at eta = 0 over a_t b_s^2 / (a_s b_t^2) at eta = 1, ancestral sampling, to 0 at
    sigma = b_s, where all noise is new. The deviation is b_s - lambda b_t here and sigma in DDIM,
    which are equal at both ends; between them the noise of x_s is less than b_s here.

    Args:
        correction: lambda of a step that leaves T.
        correction_end: lambda at t = 0: that of a step that leaves t is linear in t between the
            two. None is the same throughout.
        restoring: lambda where images are restored, throughout; None is as where they are
            generated.
    """

    correction: Share = 1.0
    correction_end: Share | None = None
    restoring: Share | None = None

    @property
    def stage(self) -> str:
        algorithms = {0.0: ALGORITHM_1, 1.0: ALGORITHM_2}
        return SAMPLED if self._changes else algorithms.get(self.correction, SAMPLED)

    @property
    def _changes(self) -> bool:
        return self.correction_end not in (None, self.correction)

    def to_restore(self) -> "Cold":
        if self.restoring is None:
            return self
        return replace(self, correction=self.restoring, correction_end=None)

    def options(self) -> list[str]:
        end = f" to {self.correction_end:g}" if self._changes else ""
        return [] if self.stage == ALGORITHM_2 else [f"correction {self.correction:g}{end}"]

    def correction_at(self, t: int, degradation: Degradation) -> float:
        """lambda of a step that leaves t."""
        if self.correction_end is None:
            return self.correction
        share = t / degradation.num_steps
        return share * self.correction + (1 - share) * self.correction_end

    def step(self, now: Estimate, s: int, path: Path[Degradation]) -> Tensor:
        t, x_t, x_0_hat = now
        x_s: Tensor = path.degradation(x_0_hat, all_at(s, x_t), path.noise)
        if correction := self.correction_at(t, path.degradation):
            x_s = x_s + correction * (x_t - path.degradation(x_0_hat, all_at(t, x_t), path.noise))
        return x_s


@checked
@dataclass(eq=False)
class Naive(Cold):
    """x_s = D(x_0_hat, s) (Bansal et al. 2022, Algorithm 1)."""

    correction: float = field(default=0.0, init=False)
    correction_end: None = field(default=None, init=False)
    restoring: None = field(default=None, init=False)

    def options(self) -> list[str]:
        return []


@checked
@dataclass(eq=False)
class Dissipation(Cold):
    """x_s = m_s(x_0_hat) + lambda (x_t - m_t(x_0_hat)) + noise z, for noise in a basis.

    m_t(x_0) = U a_t U' x_0 is the mean of x_t; z is drawn anew in each step but the last. With
    lambda = 0 this is inverse heat dissipation (Rissanen et al. 2022, Algorithm 2), whose network
    predicts m_s: that is m_s(x_0_hat), for blur is linear. With lambda above 0 errors of x_0_hat
    add up less, and the noise of x_s comes to the variance noise^2 / (1 - lambda^2).

    Args:
        noise: standard deviation of the noise, in the units of the images.
    """

    needs = Noising
    correction: Share = 0.0
    noise: NotNegative = 0.0125

    @property
    def stage(self) -> str:
        return SAMPLED

    def options(self) -> list[str]:
        return [*super().options(), f"noise {self.noise:g}"]

    def check(self, degradation: Degradation) -> None:
        super().check(degradation)
        assert isinstance(degradation, Noising)
        sigma = degradation.scales_at(degradation.num_steps).sigma.max()
        if degradation.spread * sigma > TRACE:
            raise ValueError(
                "Dissipation is for images with a trace of noise, and those of "
                f"{type(degradation).__name__} have more: use sampler=ddim"
            )

    def step(self, now: Estimate, s: int, path: Path[Degradation]) -> Tensor:
        x_s = super().step(now, s, replace(path, noise=torch.zeros_like(now.x_t)))
        if not s:
            return x_s
        z = torch.randn(x_s.shape, generator=path.generator, dtype=x_s.dtype, device=x_s.device)
        return x_s + self.noise * z

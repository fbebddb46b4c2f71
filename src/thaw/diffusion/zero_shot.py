"""Restoring what any degradation made of images with a Gaussian model that was not trained for it.

Each method is a sampler of the Gaussian model that is drawn towards images x with D(x, t, noise) =
y, the x_t of another model.
"""

import copy
from abc import ABC
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from thaw.checks import Count, Positive, checked
from thaw.diffusion.degradations.base import Degradation, all_at
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.inference import evaluating
from thaw.diffusion.needs import check_needs
from thaw.diffusion.priors.base import Prior
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Estimate, Path
from thaw.diffusion.samplers.gaussian import DDIM
from thaw.pixels import PixelRange


def scale(source: PixelRange, target: PixelRange) -> float:
    """How many times as wide as the source the target is."""
    return (target.high - target.low) / (source.high - source.low)


def converted(x: Tensor, source: PixelRange, target: PixelRange) -> Tensor:
    """Images of one range in another, not clipped."""
    if source == target:
        return x
    return target.low + scale(source, target) * (x - source.low)


@dataclass(frozen=True, eq=False)
class Observation:
    """y = D(x_0, t, noise): all that is known of x_0. Methods see it in their model's own range.

    Args:
        degradation: D, which works in its ``pixel_range``.
        y: x_t ``[B, C, H, W]`` there, with its ``t`` and ``noise``.
        seen_in: the range of the model that is to restore it.
    """

    degradation: Degradation
    pixel_range: PixelRange
    y: Tensor
    t: int
    noise: Tensor
    seen_in: PixelRange

    def misfit(self, x: Tensor) -> Tensor:
        """y - D(x, t, noise) of images x, ``[B, C, H, W]``."""
        own = converted(x, self.seen_in, self.pixel_range)
        misfit: Tensor = self.y - self.degradation(own, all_at(self.t, own), self.noise)
        return misfit * scale(self.pixel_range, self.seen_in)

    def filled(self, x: Tensor) -> Tensor:
        """x + A^+ (y - D(x)): what y tells of x_0, and the rest of x. A is D's linear part."""
        return x + self.degradation.pseudo_inverse(self.misfit(x), self.t, self.noise)

    def known(self) -> Tensor:
        """Which pixels y tells where D is a mask: those of A^+ A 1, ``[B, C, H, W]``, bool."""
        one, zero = torch.ones_like(self.y), torch.zeros_like(self.y)
        difference = self.misfit(zero) - self.misfit(one)
        return self.degradation.pseudo_inverse(difference, self.t, self.noise) > 0.5


def noised_again(x_s: Tensor, s: int, t: int, path: Path[Gaussian]) -> Tensor:
    """x_t ~ q(x_t | x_s) of a later step t: a x_s + sqrt(sigma_t^2 - a^2 sigma_s^2) z."""
    (signal_t, sigma_t), (signal_s, sigma_s) = (
        path.degradation.scales(all_at(step, x_s)) for step in (t, s)
    )
    a = signal_t / signal_s
    z = path.degradation.draw_noise(x_s, path.generator)
    return a * x_s + (sigma_t**2 - (a * sigma_s) ** 2).clamp(min=0).sqrt() * z


@checked
@dataclass(eq=False)
class ZeroShot(DDIM[Gaussian], ABC):
    """Ancestral sampling (DDIM with eta = 1) that an observation steers.

    With ``repeats`` above 1 each step but the last is taken so often, with new noise put back in
    between, as by the resampling of RePaint and the time travel of DDNM. For the same number of
    evaluations DDNM restored digits better by few steps taken often than by many taken once.

    Attributes:
        observation: what is known of the images; set for each batch.
    """

    needs = Gaussian
    num_steps: Count | None = 25
    eta: float = field(default=1.0, init=False)
    repeats: Count = 10
    observation: Observation | None = field(default=None, init=False)

    @property
    def given(self) -> Observation:
        assert self.observation is not None
        return self.observation

    def check_observed(self, degradation: Degradation) -> None:
        """Raise a ``ValueError`` where the method does not fit what made the images x_t."""

    def options(self) -> list[str]:
        return [f"each {self.repeats} times"] if self.repeats > 1 else []

    def num_evaluations(self, degradation: Gaussian) -> int:
        steps = self.num_steps or degradation.num_steps
        return (steps - 1) * self.repeats + 1

    def step(self, now: Estimate, s: int, path: Path[Gaussian]) -> Tensor:
        x_s = self.single(now, s, path)
        for _ in range(self.repeats - 1 if s else 0):
            x_t = noised_again(x_s, s, now.t, path)
            x_s = self.single(self.estimate(now.t, x_t, path), s, path)
        return x_s

    def single(self, now: Estimate, s: int, path: Path[Gaussian]) -> Tensor:
        """x_s, the step taken once."""
        return super().step(now, s, path)


@checked
@dataclass(eq=False)
class RePaint(ZeroShot):
    """Known pixels of x_s are drawn from q(x_s | x_0), the others from the model.

    Lugmayr et al. 2022, Algorithm 1, with its resampling. Of a soft mask a pixel is known where the
    share that is left of it can be divided out again.
    """

    stage = "repaint"

    def check_observed(self, degradation: Degradation) -> None:
        if not degradation.is_mask:
            raise ValueError(
                f"repaint needs a degradation that masks pixels, as inpaint does, and "
                f"{type(degradation).__name__} mixes them"
            )

    def single(self, now: Estimate, s: int, path: Path[Gaussian]) -> Tensor:
        x_s = super().single(now, s, path)
        x_0 = self.given.filled(torch.zeros_like(x_s))
        z = path.degradation.draw_noise(x_s, path.generator)
        known: Tensor = path.degradation(x_0, all_at(s, x_s), z)
        return torch.where(self.given.known(), known, x_s)


@checked
@dataclass(eq=False)
class DDNM(ZeroShot):
    """x_0_hat becomes A^+ y + (1 - A^+ A) x_0_hat, A the linear D (Wang et al. 2023, Algorithm 1).

    "Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model", arXiv 2212.00490. The
    restored x_0 has D(x_0, t, noise) = y.
    """

    stage = "ddnm"

    def check_observed(self, degradation: Degradation) -> None:
        if not degradation.is_linear:
            raise ValueError(
                f"ddnm needs a linear degradation with a pseudo-inverse, and "
                f"{type(degradation).__name__} has none; dps goes with any"
            )

    def estimate(self, t: int, x_t: Tensor, path: Path[Gaussian]) -> Estimate:
        now = super().estimate(t, x_t, path)
        return now._replace(x_0_hat=self.given.filled(now.x_0_hat))


@checked
@dataclass(eq=False)
class DPS(ZeroShot):
    """x_s less step_size times the gradient of ||y - D(x_0_hat(x_t))|| (Chung et al. 2023).

    "Diffusion Posterior Sampling for General Noisy Inverse Problems", arXiv 2209.14687, Algorithm
    1, by the gradient through the network, as in their code: of the norm itself, which is that of
    its square divided by 2 ||.||. D may be any that has a gradient.

    Args:
        step_size: zeta, in the range of the model; twice the zeta' of the paper. 2 was best for
            digits in [-1, 1].
    """

    stage = "dps"
    num_steps: Count | None = 100
    repeats: Count = field(default=1, init=False)
    step_size: Positive = 2.0

    def options(self) -> list[str]:
        return [f"step size {self.step_size:g}"]

    def estimate(self, t: int, x_t: Tensor, path: Path[Gaussian]) -> Estimate:
        """With the way from x_t to x_0_hat kept for the gradient."""
        with torch.inference_mode(False), torch.enable_grad():
            return super().estimate(t, x_t.clone().requires_grad_(), path)

    def single(self, now: Estimate, s: int, path: Path[Gaussian]) -> Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            distance = self.given.misfit(now.x_0_hat).flatten(1).norm(dim=1)
            (gradient,) = torch.autograd.grad(distance.sum(), now.x_t)
        x_t, x_0_hat = now.x_t.detach(), now.x_0_hat.detach()
        return super().single(Estimate(now.t, x_t, x_0_hat), s, path) - self.step_size * gradient


METHODS: dict[str, type[ZeroShot]] = {each.stage: each for each in (RePaint, DDNM, DPS)}


@dataclass(frozen=True)
class Rival:
    """A Gaussian model and a method by which it restores the x_t of another model."""

    restorer: Restorer
    prior: Prior
    sampler: ZeroShot

    def __post_init__(self) -> None:
        self.sampler.check(check_needs(self.sampler, self.restorer.degradation))

    def check(self, own: Restorer, is_told_labels: bool) -> None:
        """Refuse what this cannot restore of the model whose x_t it is given."""
        degradation = own.degradation
        if not degradation.noise_is_known or degradation.takes_partners:
            raise ValueError(
                f"{self.sampler.stage} restores what is degraded in a known way, got "
                f"{type(degradation).__name__}"
            )
        self.sampler.check_observed(degradation)
        needs_labels = self.restorer.num_classes is not None and not self.restorer.label_dropout
        if needs_labels and not self._tells(own, is_told_labels):
            raise ValueError(
                f"{self.sampler.stage} goes by a class-conditional model that has not learnt to go "
                "without labels (label_dropout above 0), and the images have none of its labels"
            )

    def num_evaluations(self) -> int:
        """Network evaluations an image; DPS takes a gradient through each."""
        return self.sampler.num_evaluations(check_needs(self.sampler, self.restorer.degradation))

    def describe(self) -> str:
        """``DPS, 100 steps, step size 1``."""
        return self.sampler.describe(check_needs(self.sampler, self.restorer.degradation))

    def restored(
        self,
        own: Restorer,
        x_t: Tensor,
        t: int,
        noise: Tensor,
        draws: Generator,
        labels: Tensor | None,
    ) -> Tensor:
        """x_0 ``[B, C, H, W]`` in the range of ``own``, whose x_t this is, with its t and noise."""
        restorer = self.restorer
        with torch.inference_mode(False):  # for gradients
            y, known = x_t.clone(), noise.clone()
        observation = Observation(
            own.degradation, own.pixel_range, y, t, known, restorer.pixel_range
        )
        sampler = copy.copy(self.sampler)
        sampler.observation = observation
        told = labels if self._tells(own, labels is not None) else None
        with evaluating(restorer):
            x_T, z = self.prior.draw(len(y), restorer.degradation, draws, told)
            x_0 = sampler.sample(restorer, x_T, z, draws, labels=told)
        return converted(x_0, restorer.pixel_range, own.pixel_range)

    def _tells(self, own: Restorer, has_labels: bool) -> bool:
        """Whether this model is told the labels: where both have the same classes."""
        return has_labels and self.restorer.num_classes == own.num_classes

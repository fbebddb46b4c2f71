"""A sampler's single step, from tensors alone."""

from typing import Any

from torch import Generator, Tensor

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Estimate, Path, Sampler


def step(
    sampler: Sampler,
    x_t: Tensor,
    x_0_hat: Tensor,
    t: int,
    s: int,
    noise: Tensor,
    degradation: Degradation,
    generator: Generator | None = None,
) -> Tensor:
    """x_s from x_t and x_0_hat."""
    restorer: Any = None
    path = Path(restorer, degradation, noise, generator)
    return sampler.step(Estimate(t, x_t, x_0_hat), s, path)


def restore(
    sampler: Sampler, restorer: Restorer, x_t: Tensor, t: int, noise: Tensor | None = None
) -> Tensor:
    """x_0_hat of images that are all at step t; the noise is x_t itself if None."""
    path = Path(restorer, restorer.degradation, x_t if noise is None else noise)
    return sampler.estimate(t, x_t, path).x_0_hat

"""Objectives: (restorer, x_0) -> scalar loss."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from thaw.checks import Positive, checked
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.timesteps import Timesteps, UniformTimesteps
from thaw.diffusion.weightings import Unweighted, Weighting

WHOLE = slice(None)


class Objective(nn.Module, ABC):
    """E over x_0, t ~ p(t), noise of w_t times the distance between output and target.

    Ho et al. 2020, equation 14 (noise, squared) and Bansal et al. 2022, equation 1 (clean, l1),
    both with w_t = 1 and t ~ U{1..T}. A module, because its time steps may have a history to store.

    Args:
        weighting: w_t; 1 if None.
        timesteps: p(t), and what is made of draws that are not uniform; uniform if None.
    """

    __call__: Callable[..., Tensor]

    @checked
    def __init__(
        self, weighting: Weighting[Any] | None = None, timesteps: Timesteps[Any] | None = None
    ) -> None:
        super().__init__()
        self.weighting: Weighting[Any] = weighting or Unweighted()
        self.timesteps: Timesteps[Any] = timesteps or UniformTimesteps()

    def forward(
        self,
        restorer: Restorer,
        x_0: Tensor,
        generator: Generator | None = None,
        labels: Tensor | None = None,
        part: slice = WHOLE,
    ) -> Tensor:
        """The loss, a scalar, of images ``[B, C, H, W]`` at steps and noise from ``generator``.

        Where the degradation takes partners, x_0 is ``[B, 2C, H, W]``, the images with theirs.
        Where several processes share a batch, each draws for the whole batch and computes the loss
        of its ``part``, so that steps and noise do not depend on the number of processes.
        """
        degradation, prediction = restorer.degradation, restorer.prediction
        t, correction = self.timesteps.draw(len(x_0), degradation, generator, x_0.device)
        x_0, noise = degradation.draw(x_0, generator)
        x_0, t, correction, noise = x_0[part], t[part], correction[part], noise[part]
        labels = None if labels is None else labels[part]
        output = restorer.predict(degradation(x_0, t, noise), t, labels, noise)
        target = prediction.target(x_0, noise, t, degradation)
        errors = self.distance(output, target)
        weights = self.weighting(degradation, prediction, t)
        self.timesteps.record(t, errors, weights)
        return (weights * correction * errors).mean()

    @abstractmethod
    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        """The distance at each pixel, ``[B, C, H, W]`` from two ``[B, C, H, W]``."""


def trivial_loss(
    objective: Objective, restorer: Restorer, x_0: Tensor, generator: Generator
) -> float:
    """The unweighted loss of a constant answer, the mean of the targets of x_0 ``[B, C, H, W]``.

    At the steps that count for validation. With partners x_0 is ``[B, 2C, H, W]``.
    A model whose loss is not below it has learnt nothing from x_t.
    """
    degradation = restorer.degradation
    with torch.no_grad():
        t, _ = objective.timesteps.draw(len(x_0), degradation, generator, x_0.device)
    x_0, noise = degradation.draw(x_0, generator)
    target = restorer.prediction.target(x_0, noise, t, degradation)
    return objective.distance(target.mean(0, keepdim=True).expand_as(target), target).mean().item()


class MSE(Objective):
    """Mean squared error, ``mean((output - target)^2)``."""

    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        return functional.mse_loss(output, target, reduction="none")


class L1(Objective):
    """Mean absolute error, ``mean(|output - target|)``."""

    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        return functional.l1_loss(output, target, reduction="none")


class Huber(Objective):
    """Mean of e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2) (Huber 1964)."""

    @checked
    def __init__(
        self,
        delta: Positive = 1.0,
        weighting: Weighting[Any] | None = None,
        timesteps: Timesteps[Any] | None = None,
    ) -> None:
        super().__init__(weighting, timesteps)
        self.delta = delta

    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        return functional.huber_loss(output, target, reduction="none", delta=self.delta)

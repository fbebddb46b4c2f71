"""Objectives: (restorer, x_0) -> scalar loss."""

from abc import ABC, abstractmethod

import torch
from torch import Generator, Tensor

from thaw.diffusion.restorer import Restorer


class Objective(ABC):
    """E over x_0, t ~ U{1..T}, noise of the distance between output and target.

    Ho et al. 2020, equation 14 (noise, squared) and Bansal et al. 2022, equation 1 (clean, l1).
    """

    def __call__(
        self, restorer: Restorer, x_0: Tensor, generator: Generator | None = None
    ) -> Tensor:
        """The loss, a scalar, of images ``[B, C, H, W]`` at steps and noise from ``generator``."""
        degradation = restorer.degradation
        t = torch.randint(
            1, degradation.num_steps + 1, (len(x_0),), generator=generator, device=x_0.device
        )
        noise = degradation.draw_noise(x_0, generator)
        output = restorer.network(degradation(x_0, t, noise), t)
        return self.distance(output, restorer.prediction.target(x_0, noise, t, degradation))

    @abstractmethod
    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        """A scalar from two ``[B, C, H, W]``."""


class MSE(Objective):
    """Mean squared error, ``mean((output - target)^2)``."""

    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        return torch.nn.functional.mse_loss(output, target)


class L1(Objective):
    """Mean absolute error, ``mean(|output - target|)``."""

    def distance(self, output: Tensor, target: Tensor) -> Tensor:
        return torch.nn.functional.l1_loss(output, target)

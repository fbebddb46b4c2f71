"""The standard normal prior of models that end in Gaussian noise."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.predictions import require_gaussian
from thaw.diffusion.priors.base import Prior


class Normal(Prior):
    """x_T ~ N(0, I), its own noise, whatever the class (Ho et al. 2020, section 2)."""

    depends_on_class = False

    def __init__(self, image_shape: Sequence[int], jitter: float = 0.0) -> None:
        super().__init__(jitter)
        self.image_shape = tuple(image_shape)

    def check(self, degradation: Degradation) -> None:
        require_gaussian(degradation, "prior=normal", "prior=empirical")

    def draw_exactly(
        self,
        num_samples: int,
        degradation: Degradation,
        generator: Generator,
        labels: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        x_T = torch.randn(
            num_samples, *self.image_shape, generator=generator, device=generator.device
        )
        return x_T, x_T

    def label(self) -> str:
        return "normal"

"""The standard normal prior of models that end in Gaussian noise."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from thaw.checks import NotNegative, checked
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.priors.base import Prior


class Normal(Prior[Gaussian]):
    """x_T ~ N(0, I), its own noise, whatever the class (Ho et al. 2020, section 2).

    So it is where alpha_bar_T is 0. Where a schedule ends early, as 100 steps of the betas meant
    for 1,000 do, x_T has sqrt(alpha_bar_T) x_0 as well, which the density priors fit to the data:
    one Gaussian to N(sqrt(alpha_bar_T) mean, alpha_bar_T Cov + (1 - alpha_bar_T) I).
    """

    needs = Gaussian
    depends_on_class = False

    @checked
    def __init__(self, image_shape: Sequence[int], jitter: NotNegative = 0.0) -> None:
        super().__init__(jitter)
        self.image_shape = tuple(image_shape)

    def misfit(self, degradation: Gaussian) -> str | None:
        end = degradation.end
        if end.ends_in_noise or end.schedule is None:
            return None
        kept = float(f"{100 * end.schedule[-1]:.2g}")
        return f"x_T keeps {kept:g} % of the image's variance"

    def draw_exactly(
        self,
        num_samples: int,
        degradation: Gaussian,
        generator: Generator,
        labels: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        x_T = torch.randn(
            num_samples, *self.image_shape, generator=generator, device=generator.device
        )
        return x_T, x_T

    def label(self) -> str:
        return "normal"

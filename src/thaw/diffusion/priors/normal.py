"""The standard normal prior of models that end in Gaussian noise."""

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from thaw.checks import NotNegative, checked
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Noising
from thaw.diffusion.priors.base import Prior
from thaw.diffusion.schedules import alpha_bar_of


class Normal(Prior[Noising]):
    """x_T = deviation eps, eps ~ N(0, I), whatever the class (Ho et al. 2020, section 2).

    The deviation, :func:`end_deviation`, is 1 where the variance is preserved. So it is where
    signal_T is 0. Where a schedule ends early, as 100 steps of the betas meant for 1,000 do, x_T
    has signal_T x_0 as well, which the density priors fit to the data: one Gaussian to
    N(signal_T mean, signal_T^2 Cov + sigma_T^2 I).
    """

    needs = Noising
    depends_on_class = False

    @checked
    def __init__(self, image_shape: Sequence[int], jitter: NotNegative = 0.0) -> None:
        super().__init__(jitter)
        self.image_shape = tuple(image_shape)

    def check(self, degradation: Degradation) -> None:
        if not degradation.end.leaves_nothing:
            raise ValueError(
                f"Normal draws noise alone, and x_T of {type(degradation.end).__name__} shows "
                "something of the image: use the empirical prior, or a schedule that ends in "
                "noise, as with a larger schedule.timesteps"
            )

    def misfit(self, degradation: Noising) -> str | None:
        end = degradation.end
        if end.ends_in_noise or end.schedule is None:
            return None
        kept = float(f"{100 * alpha_bar_of(end.schedule[-1]):.2g}")
        return f"x_T keeps {kept:g} % of the image's variance"

    def draw_exactly(
        self,
        num_samples: int,
        degradation: Noising,
        generator: Generator,
        labels: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        eps = torch.randn(
            num_samples, *self.image_shape, generator=generator, device=generator.device
        )
        return end_deviation(degradation.end) * eps, eps

    def label(self) -> str:
        return "normal"


def end_deviation(degradation: Degradation) -> float:
    """sqrt(signal_T^2 + sigma_T^2): the standard deviation of x_T, of pixels with the variance 1.

    As diffusers' ``init_noise_sigma``; Karras et al. 2022 start from sigma_T, 80 of these 80.006.
    """
    assert degradation.schedule is not None
    return math.hypot(*degradation.schedule[-1].tolist())

"""One Gaussian or several, fitted to what the degradation leaves of training images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import mixture
from threadpoolctl import threadpool_limits
from torch import Generator, Tensor

from thaw.checks import check_count
from thaw.diffusion.priors.density import Density
from thaw.pixels import PixelRange

# Of each component, in parts of the pixel range: its points may be few, or one.
SMALLEST_STD = 1e-3
MAX_ITERATIONS = 200
# Fitting so many takes minutes.
MAX_COMPONENTS = 1000


class GaussianMixture(Density):
    """z ~ sum_k w_k N(mu_k, Sigma_k), by expectation maximisation (Dempster et al. 1977).

    With one component a single Gaussian of full covariance. Never more components than images;
    the arithmetic of the fit is scikit-learn's. Other arguments:
    :class:`~thaw.diffusion.priors.density.Density`.

    Args:
        components: how many, up to 1000.
    """

    weights: Tensor
    means: Tensor
    factors: Tensor

    def __init__(
        self,
        image_shape: Sequence[int],
        pixel_range: PixelRange,
        components: int = 20,
        num_images: int = 10_000,
        max_dims: int = 64,
        seed: int = 0,
        jitter: float = 0.0,
    ) -> None:
        super().__init__(image_shape, pixel_range, num_images, max_dims, seed, jitter)
        check_count("prior.components", components, MAX_COMPONENTS)
        self.components = components
        self._register("weights", "means", "factors")

    def fit_coordinates(self, z: NDArray[Any]) -> None:
        if not z.shape[1]:
            self._keep(weights=np.ones(1), means=np.zeros((1, 0)), factors=np.zeros((1, 0, 0)))
            return
        smallest = SMALLEST_STD * (self.pixel_range.high - self.pixel_range.low)
        unfitted = mixture.GaussianMixture(
            min(self.components, len(z)),
            reg_covar=smallest**2,
            max_iter=MAX_ITERATIONS,
            random_state=self.seed,
        )
        # Thousands of small products: threads share little of them and wait for each other, which
        # on a busy machine took 138 s in place of 6, and gave the same numbers.
        with threadpool_limits(1):
            fitted = unfitted.fit(z)
        factors = np.linalg.cholesky(fitted.covariances_)
        self._keep(weights=fitted.weights_, means=fitted.means_, factors=factors)

    def draw_coordinates(self, num_samples: int, generator: Generator) -> Tensor:
        k = torch.multinomial(self.weights, num_samples, replacement=True, generator=generator)
        eps = torch.randn(
            num_samples, self.means.shape[1], 1, generator=generator, device=generator.device
        )
        return self.means[k] + (self.factors[k] @ eps).squeeze(2)

    def label(self) -> str:
        return "gaussian" if self.components == 1 else f"gmm, {self.components} components"

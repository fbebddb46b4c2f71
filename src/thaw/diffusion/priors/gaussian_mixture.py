"""One Gaussian or several, fitted to what the degradation leaves of training images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from thaw.checks import Count, NotNegative, Seed, checked
from thaw.diffusion.priors.density import Density, Several
from thaw.pixels import PixelRange

# Smallest of each component, in parts of the pixel range: it may have few points, or one.
SMALLEST_STD = 1e-3
MAX_ITERATIONS = 200


class GaussianMixture(Density):
    """z ~ sum_k w_k N(mu_k, Sigma_k), by expectation maximisation (Dempster et al. 1977).

    With one component a single Gaussian of full covariance. Never more components than images (of
    a class, where each has a mixture of its own). The arithmetic of the fit is scikit-learn's.
    Other arguments: :class:`~thaw.diffusion.priors.density.Density`.

    Args:
        components: Gaussians, for each class.
    """

    weights: Tensor
    means: Tensor
    factors: Tensor

    @checked
    def __init__(
        self,
        image_shape: Sequence[int],
        pixel_range: PixelRange,
        components: Count = 20,
        num_images: Several = 10_000,
        max_dims: Count = 64,
        seed: Seed = 0,
        jitter: NotNegative = 0.0,
    ) -> None:
        super().__init__(image_shape, pixel_range, num_images, max_dims, seed, jitter)
        self.components = components
        self._register("weights", "means", "factors")

    def fit_coordinates(self, z: NDArray[Any], labels: NDArray[Any] | None) -> None:
        of_class = [z] if labels is None else [z[labels == y] for y in range(labels.max() + 1)]
        fits = [self._mixture(each) for each in of_class]
        weights, means, factors = (_stacked(arrays) for arrays in zip(*fits, strict=True))
        self._keep(weights=weights, means=means, factors=factors)

    def _mixture(self, z: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Weights ``[k]``, means ``[k, d]`` and Cholesky factors ``[k, d, d]``."""
        num_dims = z.shape[1]
        if not z.size:  # nothing varies, or no image has this class
            return np.ones(1), np.zeros((1, num_dims)), np.zeros((1, num_dims, num_dims))
        # Imported where a prior is fitted, for it takes as long as torch.
        from sklearn import mixture
        from threadpoolctl import threadpool_limits

        smallest = SMALLEST_STD * (self.pixel_range.high - self.pixel_range.low)
        unfitted = mixture.GaussianMixture(
            min(self.components, len(z)),
            reg_covar=smallest**2,
            max_iter=MAX_ITERATIONS,
            random_state=self.seed,
        )
        # Threads share little of thousands of small products and wait for each other: on a busy
        # machine 138 s in place of 6, for the same numbers.
        with threadpool_limits(1):
            # scikit-learn takes no single point.
            fitted = unfitted.fit(z if len(z) > 1 else np.repeat(z, 2, axis=0))
        return fitted.weights_, fitted.means_, np.linalg.cholesky(fitted.covariances_)

    def draw_coordinates(
        self, num_samples: int, generator: Generator, labels: Tensor | None
    ) -> Tensor:
        if labels is None:
            y: Any = 0
            weights = self.weights[0]
            k = torch.multinomial(weights, num_samples, replacement=True, generator=generator)
        else:
            y = labels
            k = torch.multinomial(self.weights[y], 1, generator=generator).squeeze(1)
        eps = torch.randn(
            num_samples, self.means.shape[-1], 1, generator=generator, device=generator.device
        )
        return self.means[y, k] + (self.factors[y, k] @ eps).squeeze(2)

    def label(self) -> str:
        return "gaussian" if self.components == 1 else f"gmm, {self.components} components"


def _stacked(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """``[K, k, ...]`` of arrays ``[k_y, ...]``, with zeros where one has fewer than others."""
    stacked = np.zeros((len(arrays), max(map(len, arrays)), *arrays[0].shape[1:]))
    for y, array in enumerate(arrays):
        stacked[y, : len(array)] = array
    return stacked

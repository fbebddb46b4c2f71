"""A kernel density estimate of what the degradation leaves of training images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from thaw.checks import Count, NotNegative, Seed, checked
from thaw.diffusion.priors.density import Density, Several
from thaw.pixels import PixelRange


class KernelDensity(Density):
    """z ~ (1/N) sum_n N(z_n, h^2 S), z_n the training images' own, S their covariance.

    So the covariance of z is (1 + h^2) S, and h = 0 repeats the images' own remainders; for a
    class-conditional model z_n, N and S are those of a class. Scott's rule (1992; as in
    scipy.stats.gaussian_kde), h = N^(-1 / (d + 4)), is for few dimensions: with 28 column means and
    10,000 images h is 0.75, and all is blurred. Other arguments:
    :class:`~thaw.diffusion.priors.density.Density`.

    Args:
        bandwidth: h, a share of the standard deviation along each direction; None for Scott's rule.
    """

    points: Tensor
    widths: Tensor

    @checked
    def __init__(
        self,
        image_shape: Sequence[int],
        pixel_range: PixelRange,
        bandwidth: NotNegative | None = 0.2,
        num_images: Several = 10_000,
        max_dims: Count = 64,
        seed: Seed = 0,
        jitter: NotNegative = 0.0,
    ) -> None:
        super().__init__(image_shape, pixel_range, num_images, max_dims, seed, jitter)
        self.bandwidth = bandwidth
        self._register("points", "widths")

    def fit_coordinates(self, z: NDArray[Any], labels: NDArray[Any] | None) -> None:
        if labels is None:
            widths = self._h(z) * z.std(axis=0, ddof=1)
        else:
            of_class = [z[labels == y] for y in range(labels.max() + 1)]
            widths = np.stack([self._h(each) * _factor(each) for each in of_class])
        self._keep(points=z, widths=widths)

    def _h(self, z: NDArray[Any]) -> float:
        num_points, num_dims = z.shape
        scott = float(max(1, num_points) ** (-1 / (num_dims + 4)))
        return scott if self.bandwidth is None else self.bandwidth

    def draw_coordinates(
        self, num_samples: int, generator: Generator, labels: Tensor | None
    ) -> Tensor:
        device = generator.device
        if labels is None:
            n = torch.randint(len(self.points), (num_samples,), generator=generator, device=device)
        else:
            n = self._of_class(labels, generator)
        num_dims = self.points.shape[1]
        eps = torch.randn(num_samples, num_dims, generator=generator, device=device)
        if labels is None:
            return self.points[n] + self.widths * eps
        return self.points[n] + (self.widths[labels] @ eps.unsqueeze(2)).squeeze(2)

    def label(self) -> str:
        return "kde, Scott" if self.bandwidth is None else f"kde, bandwidth {self.bandwidth:g}"


def _factor(z: NDArray[Any]) -> NDArray[Any]:
    """F ``[d, d]`` with F F^T the covariance of points ``[N, d]``; 0 of fewer than two."""
    num_points, num_dims = z.shape
    factor = np.zeros((num_dims, num_dims))
    if num_points > 1:
        _, s, directions = np.linalg.svd(z - z.mean(axis=0), full_matrices=False)
        factor[:, : len(s)] = directions.T * s / np.sqrt(num_points - 1)
    return factor

"""A kernel density estimate of what the degradation leaves of training images."""

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from thaw.checks import check_between
from thaw.diffusion.priors.density import Density
from thaw.pixels import PixelRange

MAX_BANDWIDTH = 10


class KernelDensity(Density):
    """z ~ (1/N) sum_n N(z_n, h^2 S), z_n the training images' own, S their covariance.

    So the covariance of z is (1 + h^2) S, and h = 0 repeats the images' own remainders. Scott's
    rule (1992; as in scipy.stats.gaussian_kde), h = N^(-1 / (d + 4)), is for few dimensions: with
    28 column means and 10,000 images h is 0.75, and all is blurred. Other arguments:
    :class:`~thaw.diffusion.priors.density.Density`.

    Args:
        bandwidth: h, a share of the standard deviation along each direction; None for Scott's rule.
    """

    points: Tensor
    widths: Tensor

    def __init__(
        self,
        image_shape: Sequence[int],
        pixel_range: PixelRange,
        bandwidth: float | None = 0.2,
        num_images: int = 10_000,
        max_dims: int = 64,
        seed: int = 0,
        jitter: float = 0.0,
    ) -> None:
        super().__init__(image_shape, pixel_range, num_images, max_dims, seed, jitter)
        if bandwidth is not None:
            check_between("prior.bandwidth", bandwidth, 0, MAX_BANDWIDTH)
        self.bandwidth = bandwidth
        self._register("points", "widths")

    def fit_coordinates(self, z: NDArray[Any]) -> None:
        num_points, num_dims = z.shape
        scott = num_points ** (-1 / (num_dims + 4))
        h = scott if self.bandwidth is None else self.bandwidth
        self._keep(points=z, widths=h * z.std(axis=0, ddof=1))

    def draw_coordinates(self, num_samples: int, generator: Generator) -> Tensor:
        device = generator.device
        n = torch.randint(len(self.points), (num_samples,), generator=generator, device=device)
        eps = torch.randn(num_samples, len(self.widths), generator=generator, device=device)
        return self.points[n] + self.widths * eps

    def label(self) -> str:
        return "kde, Scott" if self.bandwidth is None else f"kde, bandwidth {self.bandwidth:g}"

"""What priors share that are densities of what the degradation leaves of training images."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from numpy.typing import NDArray
from torch import Generator, Tensor

from thaw.checks import Count, NotNegative, Seed, checked
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.priors.base import Prior, shuffled
from thaw.pixels import PixelRange

BATCH_SIZE = 1000
Several = Annotated[int, Ge(2)]
# In parts of the pixel range: float32 rounds this finely, so what varies less does not vary.
SMALLEST_STD = 1e-5


class Density(Prior[Degradation]):
    """x_T = complete(c + z B, noise), z from a density fitted to coordinates of the remainders.

    c is the mean of ``degradation.remainder(x_0)`` over training images, B its principal
    directions: those along which it varies, at most ``max_dims``. Fitted in float64 once, drawn
    in float32; c, B and the density travel in the checkpoint. For a class-conditional model
    each class has a density of its own, in coordinates that all share.

    Args:
        num_images: training images to fit to, at most; ``seed`` says which.
        max_dims: directions to keep, at most.
        seed: seed for whatever is random in a fit.
    """

    centre: Tensor
    directions: Tensor

    @checked
    def __init__(
        self,
        image_shape: Sequence[int],
        pixel_range: PixelRange,
        num_images: Several = 10_000,
        max_dims: Count = 64,
        seed: Seed = 0,
        jitter: NotNegative = 0.0,
    ) -> None:
        super().__init__(jitter)
        self.image_shape = tuple(image_shape)
        self.pixel_range = pixel_range
        self.num_images = num_images
        self.max_dims = max_dims
        self.seed = seed
        self._register("centre", "directions")

    def check(self, degradation: Degradation) -> None:
        if degradation.ends_in_noise:
            raise ValueError(
                f"{type(self).__name__} is fitted to what x_T shows of an image, and at the end of "
                f"{type(degradation).__name__} there is only noise: use the normal prior"
            )
        degradation.remainder(torch.zeros(1, *self.image_shape))

    def fit(self, images: Tensor, degradation: Degradation, labels: Tensor | None = None) -> None:
        order = shuffled(len(images), self.seed, labels, self.num_images)
        chosen = order[: self.num_images].to(images.device)
        if labels is not None:
            self.labels = labels[chosen].to(self.centre.device)
        remainders = [
            degradation.remainder(self.pixel_range.from_uint8(batch)).flatten(1).cpu()
            for batch in images[chosen].split(BATCH_SIZE)
        ]
        z = self._project(torch.cat(remainders).double())
        self.fit_coordinates(z, None if labels is None else self.labels.cpu().numpy())

    def _project(self, remainders: Tensor) -> NDArray[Any]:
        """Fit centre and directions; the coordinates of ``[N, pixels]``, float64 ``[N, d]``."""
        # Imported where a prior is fitted, for it takes as long as torch.
        from sklearn.decomposition import PCA

        pca = PCA(min(self.max_dims, *remainders.shape), random_state=self.seed)
        with np.errstate(invalid="ignore"):  # it divides by a variance that may be 0
            coordinates: NDArray[Any] = pca.fit_transform(remainders.numpy())
        smallest = SMALLEST_STD * (self.pixel_range.high - self.pixel_range.low)
        varies = pca.explained_variance_ > smallest**2
        self._keep(centre=pca.mean_, directions=pca.components_[varies])
        return coordinates[:, varies]

    @abstractmethod
    def fit_coordinates(self, z: NDArray[Any], labels: NDArray[Any] | None) -> None:
        """Fit a density, or with labels, int64 ``[N]``, one for each class.

        The columns of z, float64 ``[N, d]``, have mean 0 and are uncorrelated, in the units of the
        images; those of one class need not. d may be 0, where all remainders agree.
        """

    @abstractmethod
    def draw_coordinates(
        self, num_samples: int, generator: Generator, labels: Tensor | None
    ) -> Tensor:
        """z, float32 ``[n, d]``, on the generator's device; labels are None where the fit had none.

        The same numbers are drawn whatever the labels are.
        """

    def draw_exactly(
        self,
        num_samples: int,
        degradation: Degradation,
        generator: Generator,
        labels: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        assert len(self.centre), "fit() comes first"
        with torch.autocast(generator.device.type, enabled=False):
            z = self.draw_coordinates(num_samples, generator, labels)
            remainder = (self.centre + z @ self.directions).view(-1, *self.image_shape)
        noise = degradation.draw_noise(remainder, generator)
        return degradation.complete(remainder, noise), noise

    def _register(self, *names: str) -> None:
        for name in names:
            self.register_buffer(name, torch.empty(0))

    def _keep(self, **fitted: NDArray[Any]) -> None:
        for name, array in fitted.items():
            setattr(self, name, torch.from_numpy(array).to(self.centre))

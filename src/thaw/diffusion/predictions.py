"""What the network predicts, and how a clean image is read from it."""

from abc import ABC, abstractmethod

from torch import Tensor

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian


class Prediction(ABC):
    """A training target and its inverse: ``decode(target(x_0, ...), x_t, ...) = x_0``."""

    def check(self, degradation: Degradation) -> None:  # noqa: B027 - most have nothing to refuse
        """Refuse a degradation that this prediction has no meaning for.

        Raises:
            ValueError: naming what is allowed.
        """

    @abstractmethod
    def target(self, x_0: Tensor, noise: Tensor, t: Tensor, degradation: Degradation) -> Tensor:
        """What the network should output, ``[B, C, H, W]``."""

    @abstractmethod
    def decode(self, output: Tensor, x_t: Tensor, t: Tensor, degradation: Degradation) -> Tensor:
        """x_0_hat ``[B, C, H, W]``, the clean image that the network's output stands for."""


class Clean(Prediction):
    """The network predicts x_0 itself (Bansal et al. 2022, equation 1)."""

    def target(self, x_0: Tensor, noise: Tensor, t: Tensor, degradation: Degradation) -> Tensor:
        return x_0

    def decode(self, output: Tensor, x_t: Tensor, t: Tensor, degradation: Degradation) -> Tensor:
        return output


class Noise(Prediction):
    """The network predicts eps; x_0_hat = (x_t - sqrt(1 - alpha_bar_t) eps) / sqrt(alpha_bar_t).

    Ho et al. 2020, equation 9 solved for x_0 through equation 4.
    """

    def check(self, degradation: Degradation) -> None:
        require_gaussian(degradation, "prediction=noise", "prediction=clean")

    def target(self, x_0: Tensor, noise: Tensor, t: Tensor, degradation: Degradation) -> Tensor:
        return noise

    def decode(self, output: Tensor, x_t: Tensor, t: Tensor, degradation: Degradation) -> Tensor:
        signal, sigma = require_gaussian(degradation, "prediction=noise", "").scales(t)
        return (x_t - sigma * output) / signal


def require_gaussian(degradation: Degradation, what: str, instead: str) -> Gaussian:
    """The degradation, known to be Gaussian.

    Raises:
        ValueError: it is another one; ``what`` needs Gaussian noise, ``instead`` would do.
    """
    if not isinstance(degradation, Gaussian):
        raise ValueError(
            f"{what} needs a degradation that adds Gaussian noise (degradation=gaussian), and "
            f"{type(degradation).__name__} does not; with it use {instead}"
        )
    return degradation

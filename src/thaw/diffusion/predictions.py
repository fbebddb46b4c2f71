"""What the network predicts, and how a clean image is read from it."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.noising import Noising


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

    @abstractmethod
    def error_of_clean(self, snr: Tensor) -> Tensor:
        """(x_0_hat - x_0)^2 / (output - target)^2 at SNR = alpha_bar / (1 - alpha_bar).

        So a weight of the squared error of x_0 becomes one of this prediction's own squared error.
        """


class Clean(Prediction):
    """The network predicts x_0 itself (Bansal et al. 2022, equation 1)."""

    def target(self, x_0: Tensor, noise: Tensor, t: Tensor, degradation: Degradation) -> Tensor:
        return x_0

    def decode(self, output: Tensor, x_t: Tensor, t: Tensor, degradation: Degradation) -> Tensor:
        return output

    def error_of_clean(self, snr: Tensor) -> Tensor:
        return torch.ones_like(snr)


class Noise(Prediction):
    """The network predicts eps; x_0_hat = (x_t - sqrt(1 - alpha_bar_t) eps) / sqrt(alpha_bar_t).

    Ho et al. 2020, equation 9 solved for x_0 through equation 4.
    """

    def check(self, degradation: Degradation) -> None:
        gaussian = require_gaussian(degradation, "prediction=noise", "prediction=clean")
        if gaussian.signal[-1] == 0:
            raise ValueError(
                "prediction=noise cannot tell x_0 from an x_T that is noise alone (alpha_bar_T is "
                "0, as with schedule.zero_terminal_snr=true); use prediction=velocity or "
                "prediction=clean"
            )

    def target(self, x_0: Tensor, noise: Tensor, t: Tensor, degradation: Degradation) -> Tensor:
        return noise

    def decode(self, output: Tensor, x_t: Tensor, t: Tensor, degradation: Degradation) -> Tensor:
        signal, sigma = require_gaussian(degradation, "prediction=noise", "").scales(t)
        return (x_t - sigma * output) / signal

    def error_of_clean(self, snr: Tensor) -> Tensor:
        return 1 / snr


class Velocity(Prediction):
    """The network predicts v = sqrt(alpha_bar_t) eps - sqrt(1 - alpha_bar_t) x_0.

    Salimans and Ho 2022, section 4 and appendix D; x_0_hat = sqrt(alpha_bar_t) x_t -
    sqrt(1 - alpha_bar_t) v, which divides by nothing. Where a part K x_0 of the image is kept, v
    and this equation are of the residual R alone, and x_0_hat has the K x_t that is known.

    Where alpha_bar_t is 1, as in lines that degradation=column_noise has not reached yet, x_t shows
    x_0 and nothing of eps: there v is 0, and x_0_hat is x_t whatever the network says.
    """

    def check(self, degradation: Degradation) -> None:
        require_noising(degradation, "prediction=velocity", "prediction=clean")

    def target(self, x_0: Tensor, noise: Tensor, t: Tensor, degradation: Degradation) -> Tensor:
        noising = require_noising(degradation, "prediction=velocity", "")
        signal, sigma = noising.scales(t)
        of_noise = signal * noising.spread * (sigma > 0)
        return of_noise * noising.residual(noise) - sigma * noising.residual(x_0)

    def decode(self, output: Tensor, x_t: Tensor, t: Tensor, degradation: Degradation) -> Tensor:
        noising = require_noising(degradation, "prediction=velocity", "")
        signal, sigma = noising.scales(t)
        image = noising.residual(x_t)
        return x_t - image + signal * image - sigma * noising.residual(output)

    def error_of_clean(self, snr: Tensor) -> Tensor:
        return 1 / (1 + snr)


def require_noising(degradation: Degradation, what: str, instead: str) -> Noising:
    """The degradation, known to replace the image, or a part of it, by Gaussian noise.

    Raises:
        ValueError: it is another one; ``what`` needs noise, ``instead`` would do.
    """
    if not isinstance(degradation, Noising):
        raise ValueError(
            f"{what} needs a degradation that adds Gaussian noise (degradation=gaussian, "
            f"column_noise or row_noise), and {type(degradation).__name__} does not; with it use "
            f"{instead}"
        )
    return degradation


def require_gaussian(degradation: Degradation, what: str, instead: str) -> Gaussian:
    """The degradation, known to be Gaussian noise on the whole image.

    Raises:
        ValueError: it is another one; ``what`` needs Gaussian noise, ``instead`` would do.
    """
    if not isinstance(degradation, Gaussian):
        raise ValueError(
            f"{what} needs degradation=gaussian, noise on the whole image, which "
            f"{type(degradation).__name__} is not; with it use {instead}"
        )
    return degradation

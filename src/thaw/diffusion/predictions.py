"""What the network predicts, and how a clean image is read from it."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian, Noising
from thaw.diffusion.needs import D, Part


class Prediction(Part[D], ABC):
    """A training target and its inverse: ``decode(target(x_0, ...), x_t, ...) = x_0``."""

    @abstractmethod
    def target(self, x_0: Tensor, noise: Tensor, t: Tensor, degradation: D) -> Tensor:
        """What the network should output, ``[B, C, H, W]``."""

    @abstractmethod
    def decode(self, output: Tensor, x_t: Tensor, t: Tensor, degradation: D) -> Tensor:
        """x_0_hat ``[B, C, H, W]``, the clean image that the network's output stands for."""

    @abstractmethod
    def error_of_clean(self, snr: Tensor) -> Tensor:
        """(x_0_hat - x_0)^2 / (output - target)^2 at SNR = alpha_bar / (1 - alpha_bar)."""


class Clean(Prediction[Degradation]):
    """The network predicts x_0 itself (Bansal et al. 2022, equation 1)."""

    def target(self, x_0: Tensor, noise: Tensor, t: Tensor, degradation: Degradation) -> Tensor:
        return x_0

    def decode(self, output: Tensor, x_t: Tensor, t: Tensor, degradation: Degradation) -> Tensor:
        return output

    def error_of_clean(self, snr: Tensor) -> Tensor:
        return torch.ones_like(snr)


class Noise(Prediction[Gaussian]):
    """The network predicts eps; x_0_hat = (x_t - sqrt(1 - alpha_bar_t) eps) / sqrt(alpha_bar_t).

    Ho et al. 2020, equation 9 solved for x_0 through equation 4.
    """

    needs = Gaussian

    def check(self, degradation: Gaussian) -> None:
        if degradation.schedule[-1].sqrt().float() == 0:
            raise ValueError(
                "Noise cannot read x_0 from an x_T that is noise alone (alpha_bar_T is 0, as with "
                "zero_terminal_snr=true): predict the velocity or the clean image"
            )

    def target(self, x_0: Tensor, noise: Tensor, t: Tensor, degradation: Gaussian) -> Tensor:
        return noise

    def decode(self, output: Tensor, x_t: Tensor, t: Tensor, degradation: Gaussian) -> Tensor:
        signal, sigma = degradation.scales(t)
        return (x_t - sigma * output) / signal

    def error_of_clean(self, snr: Tensor) -> Tensor:
        return 1 / snr


class Velocity(Prediction[Noising]):
    """The network predicts v = sqrt(alpha_bar_t) eps - sqrt(1 - alpha_bar_t) x_0.

    Salimans and Ho 2022, section 4 and appendix D; x_0_hat = sqrt(alpha_bar_t) x_t -
    sqrt(1 - alpha_bar_t) v, without a division. Where a part K x_0 of the image is kept, v and this
    equation concern the residual R only, and x_0_hat takes over K x_t.

    Where alpha_bar_t is 1, as in lines that are still clean, x_t is x_0 and shows nothing of eps:
    there v is 0, and x_0_hat is x_t for every output of the network.
    """

    needs = Noising

    def target(self, x_0: Tensor, noise: Tensor, t: Tensor, degradation: Noising) -> Tensor:
        signal, sigma = degradation.scales(t)
        of_noise = signal * degradation.spread * (sigma > 0)
        return of_noise * degradation.residual(noise) - sigma * degradation.residual(x_0)

    def decode(self, output: Tensor, x_t: Tensor, t: Tensor, degradation: Noising) -> Tensor:
        signal, sigma = degradation.scales(t)
        image = degradation.residual(x_t)
        return x_t - image + signal * image - sigma * degradation.residual(output)

    def error_of_clean(self, snr: Tensor) -> Tensor:
        return 1 / (1 + snr)

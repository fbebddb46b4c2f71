"""Weightings: how much the error at each time step counts in the loss."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from thaw.checks import NotNegative, Positive, checked
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.needs import D, Part
from thaw.diffusion.predictions import Prediction


class Weighting(Part[D], ABC):
    """w_t, the factor of the errors of images at step t."""

    @abstractmethod
    def __call__(self, degradation: D, prediction: Prediction[Any], t: Tensor) -> Tensor:
        """Weights ``[B, 1, 1, 1]``, 0 or more, for steps t, int64 ``[B]``, each in 1..T."""


class Unweighted(Weighting[Degradation]):
    """w_t = 1 (Ho et al. 2020, equation 14)."""

    def __call__(self, degradation: Degradation, prediction: Prediction[Any], t: Tensor) -> Tensor:
        return torch.ones(len(t), 1, 1, 1, device=t.device)


class SNRWeighting(Weighting[Gaussian]):
    """w_t from SNR_t = (signal_t / sigma_t)^2, for every prediction.

    A subclass weights the squared error of x_0_hat; the prediction converts this into the weight of
    its own squared error. With another distance the weights are the same.
    """

    needs = Gaussian

    def __call__(self, degradation: Gaussian, prediction: Prediction[Any], t: Tensor) -> Tensor:
        scales = degradation.scales(t)
        snr = (scales.signal / scales.sigma) ** 2
        return self.of_clean(snr) * prediction.error_of_clean(scales)

    @abstractmethod
    def of_clean(self, snr: Tensor) -> Tensor:
        """The weight of (x_0_hat - x_0)^2."""


class MinSNR(SNRWeighting):
    """w_t = min(SNR_t, gamma) of the squared error of x_0_hat (Hang et al. 2023, section 3.4).

    That is min(SNR, gamma) / SNR of the noise's and min(SNR, gamma) / (SNR + 1) of the velocity's.
    Where signal_T is 0 the last step has the weight 0; only uniform weights train it.
    """

    @checked
    def __init__(self, gamma: Positive = 5.0) -> None:
        self.gamma = gamma

    def of_clean(self, snr: Tensor) -> Tensor:
        return snr.clamp(max=self.gamma)


class P2(SNRWeighting):
    """w_t = 1 / (k + SNR_t)^gamma of the squared error of the noise (Choi et al. 2022, eq. 8).

    That is SNR / (k + SNR)^gamma of x_0_hat's. Where signal_T is 0 the last step has the weight
    0; only uniform weights train it.
    """

    @checked
    def __init__(self, gamma: NotNegative = 1.0, k: Positive = 1.0) -> None:
        self.gamma = gamma
        self.k = k

    def of_clean(self, snr: Tensor) -> Tensor:
        return snr / (self.k + snr) ** self.gamma

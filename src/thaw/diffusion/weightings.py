"""Weightings: how much the error at each time step counts in the loss."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from thaw.checks import check_between
from thaw.diffusion.predictions import require_gaussian
from thaw.diffusion.restorer import Restorer

LARGEST = 1e6


class Weighting(ABC):
    """w_t, by which the errors of images at step t are multiplied."""

    @abstractmethod
    def __call__(self, restorer: Restorer, t: Tensor) -> Tensor:
        """Weights ``[B, 1, 1, 1]``, 0 or more, for steps t, int64 ``[B]``, each in 1..T.

        Raises:
            ValueError: the restorer's degradation has no such weights.
        """


class Unweighted(Weighting):
    """w_t = 1 (Ho et al. 2020, equation 14)."""

    def __call__(self, restorer: Restorer, t: Tensor) -> Tensor:
        return torch.ones(len(t), 1, 1, 1, device=t.device)


class SNRWeighting(Weighting):
    """w_t from SNR_t = alpha_bar_t / (1 - alpha_bar_t), whatever the network predicts.

    A subclass says how much the squared error of x_0_hat counts; the prediction translates this
    into the weight of its own squared error. With another distance the weights are the same.
    """

    choice: str

    def __call__(self, restorer: Restorer, t: Tensor) -> Tensor:
        signal, sigma = require_gaussian(
            restorer.degradation,
            f"objective/weighting={self.choice}",
            "objective/weighting=uniform",
        ).scales(t)
        snr = (signal / sigma) ** 2
        return self.of_clean(snr) * restorer.prediction.error_of_clean(snr)

    @abstractmethod
    def of_clean(self, snr: Tensor) -> Tensor:
        """The weight of (x_0_hat - x_0)^2."""


class MinSNR(SNRWeighting):
    """w_t = min(SNR_t, gamma) of the squared error of x_0_hat (Hang et al. 2023, section 3.4).

    That is min(SNR, gamma) / SNR of the noise's and min(SNR, gamma) / (SNR + 1) of the velocity's.
    Where alpha_bar_T is 0 the last step has no weight: uniform trains it.

    Raises:
        ValueError: gamma is not between 0 and a million, ends excluded.
    """

    choice = "min_snr"

    def __init__(self, gamma: float = 5.0) -> None:
        check_between("objective.weighting.gamma", gamma, 0, LARGEST, open_=True)
        self.gamma = gamma

    def of_clean(self, snr: Tensor) -> Tensor:
        return snr.clamp(max=self.gamma)


class P2(SNRWeighting):
    """w_t = 1 / (k + SNR_t)^gamma of the squared error of the noise (Choi et al. 2022, eq. 8).

    That is SNR / (k + SNR)^gamma of x_0_hat's. Where alpha_bar_T is 0 the last step has no
    weight: uniform trains it.

    Raises:
        ValueError: gamma or k is not between 0 and a million; only gamma may be 0.
    """

    choice = "p2"

    def __init__(self, gamma: float = 1.0, k: float = 1.0) -> None:
        check_between("objective.weighting.gamma", gamma, 0, LARGEST)
        check_between("objective.weighting.k", k, 0, LARGEST, open_=True)
        self.gamma = gamma
        self.k = k

    def of_clean(self, snr: Tensor) -> Tensor:
        return snr / (self.k + snr) ** self.gamma

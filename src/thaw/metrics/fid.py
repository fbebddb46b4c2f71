"""Frechet distance between Gaussians fitted to features (FID)."""

from typing import Any

import torch
from torch import Tensor

from thaw.metrics.gathering import GatheredMetric


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [D] and unbiased covariance [D, D] of features [N, D], float64; 0 where N is 1."""
    features = features.to(torch.float64)
    mean = features.mean(dim=0)
    centred = features - mean
    return mean, centred.T @ centred / max(len(features) - 1, 1)


def frechet_distance(mean_1: Tensor, cov_1: Tensor, mean_2: Tensor, cov_2: Tensor) -> Tensor:
    """Squared 2-Wasserstein distance of two Gaussians: means [D], covariances [D, D], float64.

    tr (cov_1 cov_2)^1/2 is the sum of the singular values of cov_1^1/2 cov_2^1/2: real, and stable
    where a covariance is singular (fewer images than features), where the eigenvalues of the
    product are not.
    """
    cross = torch.linalg.svdvals(psd_sqrt(cov_1) @ psd_sqrt(cov_2)).sum()
    means = (mean_1 - mean_2).square().sum()
    distance: Tensor = means + torch.trace(cov_1 + cov_2) - 2 * cross
    return distance


def psd_sqrt(cov: Tensor) -> Tensor:
    """Square root of a positive semi-definite [D, D]; eigenvalues within rounding of 0 are 0."""
    eigenvalues, vectors = torch.linalg.eigh(cov)
    rounding = torch.finfo(cov.dtype).eps * len(cov) * eigenvalues[-1].clamp(min=0)
    eigenvalues = torch.where(eigenvalues > rounding, eigenvalues, 0.0)
    root: Tensor = (vectors * eigenvalues.sqrt()) @ vectors.T
    return root


class FrechetDistance(GatheredMetric):
    """FID = |mu - mu_r|^2 + tr(C + C_r - 2 (C C_r)^1/2), Heusel et al. 2017, eq. 6.

    arXiv:1706.08500.

    mu, C: moments of the features given to ``update``; mu_r, C_r: of the reference. At least 0;
    lower is better; biased upwards by roughly c / N in the number of images. torchmetrics' own
    class keeps the reference in states that are summed over processes, which rescales its
    covariance, and returns float32; hence this one.
    """

    higher_is_better = False

    def __init__(self, mean: Tensor, cov: Tensor, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mean = mean
        self.cov = cov

    def compute(self) -> Tensor:
        """The distance, a float64 scalar."""
        return frechet_distance(*moments(self.gathered()), self.mean, self.cov).clamp(min=0)

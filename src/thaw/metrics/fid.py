"""Frechet distance between Gaussians fitted to features (FID)."""

from functools import lru_cache
from typing import Self

import torch
from torch import Tensor

from thaw.metrics.gathering import FeatureMetric
from thaw.metrics.reference import Reference


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


def distance_of_few(features: Tensor, mean: Tensor, cov: Tensor) -> Tensor:
    """:func:`frechet_distance` of features [N, D] from mean [D], cov [D, D]; quicker where N < D.

    With C = A^T A, A the centred features over sqrt(N - 1), C^1/2 C_r^1/2 and A C_r^1/2, which has
    N rows only, have the same singular values.
    """
    mean_1 = features.mean(dim=0)
    factor = (features - mean_1) / max(len(features) - 1, 1) ** 0.5
    cross = torch.linalg.svdvals(factor @ _root_of_reference(cov)).sum()
    traces = factor.square().sum() + torch.trace(cov)
    distance: Tensor = (mean_1 - mean).square().sum() + traces - 2 * cross
    return distance


@lru_cache(maxsize=2)
def _root_of_reference(cov: Tensor) -> Tensor:
    # It takes seconds with Inception's 2,048 features, and is needed for each score.
    return psd_sqrt(cov)


class FrechetDistance(FeatureMetric):
    """FID = |mu - mu_r|^2 + tr(C + C_r - 2 (C C_r)^1/2), Heusel et al. 2017, eq. 6.

    arXiv:1706.08500. mu, C: moments of the features given to ``update``; mu_r, C_r: of the
    reference. At least 0; lower is better; biased upwards by roughly c / N in the number of images.
    torchmetrics' own class keeps the reference in states that are summed over processes, which
    rescales its covariance, and returns float32; hence this one.
    """

    def __init__(self, mean: Tensor, cov: Tensor) -> None:
        super().__init__()
        self.mean = mean
        self.cov = cov

    @classmethod
    def against(cls, reference: Reference) -> Self:
        return cls(reference.mean, reference.cov)

    def compute(self) -> Tensor:
        """The distance, a float64 scalar."""
        features = self.gathered()
        if len(features) < len(self.mean):
            return distance_of_few(features, self.mean, self.cov).clamp(min=0)
        return frechet_distance(*moments(features), self.mean, self.cov).clamp(min=0)

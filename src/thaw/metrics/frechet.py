"""The Frechet distance between Gaussians fitted to features: pure functions of torch."""

from functools import lru_cache

import torch
from torch import Tensor


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [D] and unbiased covariance [D, D] of features [N, D], float64; 0 where N is 1.

    >>> mean, cov = moments(torch.tensor([[0.0, 1.0], [2.0, 3.0]]))
    >>> mean.tolist(), cov.tolist()
    ([1.0, 2.0], [[2.0, 2.0], [2.0, 2.0]])
    """
    features = features.to(torch.float64)
    mean = features.mean(dim=0)
    centred = features - mean
    return mean, centred.T @ centred / max(len(features) - 1, 1)


def frechet_distance(mean_1: Tensor, cov_1: Tensor, mean_2: Tensor, cov_2: Tensor) -> Tensor:
    """Squared 2-Wasserstein distance of two Gaussians: means [D], covariances [D, D], float64.

    tr (cov_1 cov_2)^1/2 is the sum of the singular values of cov_1^1/2 cov_2^1/2: real, and stable
    where a covariance is singular (fewer images than features), where the eigenvalues of the
    product are not.

    >>> mean, cov = torch.zeros(2).double(), torch.eye(2).double()
    >>> frechet_distance(mean, cov, mean + 3, 4 * cov).item()
    20.0
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


def distance_from(features: Tensor, mean: Tensor, cov: Tensor) -> Tensor:
    """FID of features [N, D], float64, from a reference's mean [D] and cov [D, D]; at least 0."""
    if len(features) < len(mean):
        return distance_of_few(features, mean, cov).clamp(min=0)
    return frechet_distance(*moments(features), mean, cov).clamp(min=0)

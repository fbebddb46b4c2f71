"""Frechet distance between Gaussians fitted to features (FID)."""

from typing import Any, Self

from torch import Tensor

from thaw.metrics.frechet import distance_from
from thaw.metrics.gathering import FeatureMetric
from thaw.metrics.reference import Reference


class FrechetDistance(FeatureMetric):
    """FID = |mu - mu_r|^2 + tr(C + C_r - 2 (C C_r)^1/2), Heusel et al. 2017, eq. 6.

    arXiv:1706.08500. mu, C: moments of the features given to ``update``; mu_r, C_r: of the
    reference. At least 0; lower is better; biased upwards by roughly c / N in the number of images.
    torchmetrics' own class keeps the reference in states that are summed over processes, which
    rescales its covariance, and returns float32; hence this one.
    """

    higher_is_better = False

    def __init__(self, mean: Tensor, cov: Tensor, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mean = mean
        self.cov = cov

    @classmethod
    def against(cls, reference: Reference) -> Self:
        return cls(reference.mean, reference.cov)

    def compute(self) -> Tensor:
        """The distance, a float64 scalar."""
        return distance_from(self.gathered(), self.mean, self.cov)

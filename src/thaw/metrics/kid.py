"""Kernel distance between two sets of features (KID)."""

from typing import Self

import torch
from torch import Tensor

from thaw.metrics.gathering import FeatureMetric, blocks
from thaw.metrics.reference import Reference


def kernel_sum(x: Tensor, y: Tensor) -> Tensor:
    """Sum of k(a, b) = (a . b / D + 1)^3 over all pairs of rows of x [N, D] and y [M, D]."""
    sums = [((rows @ y.T) / x.shape[1] + 1).pow(3).sum() for rows in blocks(x, len(y))]
    return torch.stack(sums).sum()


def within_mean(x: Tensor) -> Tensor:
    """Mean of the kernel over the N (N - 1) pairs of different rows of x [N, D]; N >= 2."""
    diagonal = (x.square().sum(dim=1) / x.shape[1] + 1).pow(3).sum()
    return (kernel_sum(x, x) - diagonal) / (len(x) * (len(x) - 1))


class KernelDistance(FeatureMetric):
    """KID = mean k(x, x') + mean k(r, r') - 2 mean k(x, r), Binkowski et al. 2018, section 4.

    arXiv:1801.01401. k(a, b) = (a . b / D + 1)^3; x, x' different features given to ``update``,
    r, r' different reference features. Unbiased in N, so it may be slightly negative; lower is
    better; not multiplied by 1000. The usual implementations (torchmetrics' too) average this over
    random subsets, drawn from the global generator; here all pairs are used, which is what those
    subsets estimate, with less variance and no randomness.
    """

    def __init__(self, reference: Tensor, reference_mean: Tensor) -> None:
        """Take reference features [R, D], float64, and their ``within_mean``."""
        super().__init__()
        self.reference = reference
        self.reference_mean = reference_mean

    @classmethod
    def against(cls, reference: Reference) -> Self:
        return cls(reference.features.double(), reference.kernel_mean)

    def compute(self) -> Tensor:
        """The squared maximum mean discrepancy, a float64 scalar."""
        features = self.gathered()
        across = kernel_sum(features, self.reference) / (len(features) * len(self.reference))
        return within_mean(features) + self.reference_mean - 2 * across

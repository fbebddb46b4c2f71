"""Kernel distance between two sets of features (KID)."""

from typing import Any, Self

import torch
from torch import Tensor

from thaw.metrics.gathering import FeatureMetric, blocks
from thaw.metrics.reference import Reference


def kernel_sums(x: Tensor, y: Tensor) -> Tensor:
    """Sums [N] of k(a, b) = (a . b / D + 1)^3 over the rows b of y [M, D], a each row of x."""
    sums = [((rows @ y.T) / x.shape[1] + 1).pow(3).sum(dim=1) for rows in blocks(x, len(y))]
    return torch.cat(sums)


def sums_over_others(x: Tensor) -> Tensor:
    """Sums [N] of the kernel over all rows of x [N, D] but the own one."""
    return kernel_sums(x, x) - (x.square().sum(dim=1) / x.shape[1] + 1).pow(3)


def within_mean(x: Tensor) -> Tensor:
    """Mean of the kernel over the N (N - 1) pairs of different rows of x [N, D]; N >= 2."""
    return sums_over_others(x).sum() / (len(x) * (len(x) - 1))


class KernelDistance(FeatureMetric):
    """KID = mean k(x, x') + mean k(r, r') - 2 mean k(x, r), Binkowski et al. 2018, section 4.

    arXiv:1801.01401. k(a, b) = (a . b / D + 1)^3; x, x' different features given to ``update``,
    r, r' different reference features. Unbiased in N, so it may be slightly negative; lower is
    better; not multiplied by 1000. The usual implementations (torchmetrics' too) average this over
    random subsets, drawn from the global generator; here all pairs are used, which is what those
    subsets estimate, with less variance and no randomness. Its error is that of the jackknife,
    which leaves out one image at a time: exact for many images that differ from the reference, too
    large, by up to 1.4, where they do not.
    """

    higher_is_better = False

    def __init__(self, reference: Tensor, reference_mean: Tensor, **kwargs: Any) -> None:
        """Take reference features [R, D], float64, and their ``within_mean``."""
        super().__init__(**kwargs)
        self.reference = reference
        self.reference_mean = reference_mean

    @classmethod
    def against(cls, reference: Reference) -> Self:
        return cls(reference.features.double(), reference.kernel_mean)

    def compute(self) -> dict[str, Tensor]:
        """``kid``, the squared maximum mean discrepancy, and ``kid_error``, float64."""
        features = self.gathered()
        n = len(features)
        # KID is a mean over pairs of k(x, x') - m(x) - m(x'), m the mean over the reference.
        across = kernel_sums(features, self.reference) / len(self.reference)
        sums = sums_over_others(features) - (n - 2) * across - across.sum()
        kid = sums.sum() / (n * (n - 1)) + self.reference_mean
        # Without image i the mean over pairs is (all sums - 2 sums_i) / ((n - 1) (n - 2)).
        without = 2 * sums / ((n - 1) * max(1, n - 2))
        return {"kid": kid, "kid_error": (n - 1) ** 0.5 * without.std(correction=0)}

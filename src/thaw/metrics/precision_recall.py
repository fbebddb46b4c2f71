"""Precision and recall: how much of the generated looks real, how much of the real is generated."""

from typing import Self

import torch
from torch import Tensor

from thaw.metrics.gathering import FeatureMetric, blocks
from thaw.metrics.reference import Reference

NUM_NEIGHBOURS = 3


def neighbour_radii(x: Tensor, k: int = NUM_NEIGHBOURS) -> Tensor:
    """Distance [N] from each row of x [N, D] to its k-th nearest other row (or the farthest)."""
    k = min(k, len(x) - 1)
    # The nearest row is the row itself.
    radii = [
        torch.cdist(rows, x).topk(k + 1, largest=False).values[:, -1] for rows in blocks(x, len(x))
    ]
    return torch.cat(radii)


def precision_recall(
    x: Tensor, x_radii: Tensor, real: Tensor, real_radii: Tensor
) -> tuple[Tensor, Tensor]:
    """Share of x [N, D] in a ball of ``real`` [M, D], and share of ``real`` in a ball of x."""
    inside_real: list[Tensor] = []
    inside_x = torch.zeros(len(real), dtype=torch.bool)
    num_real = len(real)
    for rows, radii in zip(blocks(x, num_real), blocks(x_radii, num_real), strict=True):
        distances = torch.cdist(rows, real)
        inside_real.append((distances <= real_radii).any(dim=1))
        inside_x |= (distances <= radii[:, None]).any(dim=0)
    return torch.cat(inside_real).double().mean(), inside_x.double().mean()


class PrecisionRecall(FeatureMetric):
    """f(x, Phi) = 1 if |x - phi| <= |phi - NN_k(phi)| for some phi, Kynkaanniemi 2019, eq. 1.

    arXiv:1904.06991. precision = mean over generated x of f(x, Phi_r), recall = mean over reference
    r of f(r, Phi_x), with k = 3 nearest neighbours. Both in 0..1, higher is better; few generated
    images have larger balls, so recall is biased upwards there.
    """

    def __init__(self, reference: Tensor, reference_radii: Tensor) -> None:
        """Take reference features [R, D], float64, and their ``neighbour_radii`` [R]."""
        super().__init__()
        self.reference = reference
        self.reference_radii = reference_radii

    @classmethod
    def against(cls, reference: Reference) -> Self:
        return cls(reference.features.double(), reference.radii)

    def compute(self) -> dict[str, Tensor]:
        """``precision`` and ``recall``, float64 scalars."""
        features = self.gathered()
        radii = neighbour_radii(features)
        precision, recall = precision_recall(features, radii, self.reference, self.reference_radii)
        return {"precision": precision, "recall": recall}

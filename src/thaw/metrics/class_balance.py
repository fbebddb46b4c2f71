"""Class balance: which classes the generated images fall into, against the data's."""

from typing import Self

import torch
from torch import Tensor

from thaw.metrics.gathering import SummedMetric
from thaw.metrics.reference import Reference


def class_kl(counts: Tensor, data_counts: Tensor) -> Tensor:
    """KL(p || q) in nats of two histograms [K] of counts, q the data's; float64, at least 0.

    A class that the data never shows counts as half an image there, so that the result stays
    finite.
    """
    p = counts.double() / counts.sum()
    q = data_counts.double().clamp(min=0.5)
    return (torch.xlogy(p, p) - torch.xlogy(p, q / q.sum())).sum().clamp(min=0)


class ClassBalance(SummedMetric):
    """KL(p || q) = sum_k p_k log(p_k / q_k); p, q: shares of classes, generated and real.

    The data's classes are predicted too, so the classifier's own errors cancel. Lower is better;
    biased upwards by about (K - 1) / (2 N), the floor of the plug-in estimate (Miller 1955).
    """

    counts: Tensor

    def __init__(self, data_counts: Tensor) -> None:
        super().__init__(counts=torch.zeros_like(data_counts, dtype=torch.long))
        self.data_counts = data_counts

    @classmethod
    def against(cls, reference: Reference) -> Self:
        """The metric that compares with this reference's classes."""
        return cls(reference.class_counts)

    def update(self, logits: Tensor) -> None:
        """Count the most likely class of each row of logits [N, K]."""
        self.counts = self.counts + logits.argmax(dim=1).bincount(minlength=len(self.counts))

    def compute(self) -> dict[str, Tensor]:
        """``class_kl``; ``num_classes`` that appear; images of each class, ``class_counts`` [K]."""
        counts = self.summed("counts").cpu()
        return {
            "class_kl": class_kl(counts, self.data_counts),
            "num_classes": (counts > 0).sum(),
            "class_counts": counts,
        }

"""Class balance: which classes the generated images fall into, against the data's."""

from typing import Any, Self

import torch
from torch import Tensor
from torchmetrics import Metric

from thaw.metrics.reference import Reference


def class_kl(counts: Tensor, data_counts: Tensor) -> Tensor:
    """KL(p || q) in nats of two histograms [K] of counts, q the data's; float64, at least 0.

    A class that the data never shows counts as half an image there, so that the result stays
    finite.

    >>> class_kl(torch.tensor([5, 5]), torch.tensor([30, 30])).item()
    0.0
    >>> f"{class_kl(torch.tensor([10, 0]), torch.tensor([30, 30])):.4f}"  # log 2
    '0.6931'
    """
    p = counts.double() / counts.sum()
    q = data_counts.double().clamp(min=0.5)
    return (torch.xlogy(p, p) - torch.xlogy(p, q / q.sum())).sum().clamp(min=0)


class ClassBalance(Metric):
    """KL(p || q) = sum_k p_k log(p_k / q_k); p, q: shares of classes, generated and real.

    The data's classes are predicted too, so the classifier's own errors cancel. Lower is better;
    biased upwards by about (K - 1) / (2 N), the floor of the plug-in estimate (Miller 1955).
    """

    is_differentiable = False
    full_state_update = False
    higher_is_better = False
    counts: Tensor

    def __init__(self, data_counts: Tensor, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_counts = data_counts
        self.add_state(
            "counts", torch.zeros_like(data_counts, dtype=torch.long), dist_reduce_fx="sum"
        )

    @classmethod
    def against(cls, reference: Reference) -> Self:
        """The metric that compares with this reference's classes."""
        return cls(reference.class_counts)

    def update(self, logits: Tensor) -> None:
        """Count the most likely class of each row of logits [N, K]."""
        self.counts = self.counts + logits.argmax(dim=1).bincount(minlength=len(self.counts))

    def compute(self) -> dict[str, Tensor]:
        """``class_kl``; ``num_classes`` that appear; images of each class, ``class_counts`` [K]."""
        counts = self.counts.cpu()
        return {
            "class_kl": class_kl(counts, self.data_counts),
            "num_classes": (counts > 0).sum(),
            "class_counts": counts,
        }

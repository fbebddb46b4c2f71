"""Inception score: how sure the classifier is of each image, and how evenly the classes come."""

from typing import Any

import torch
from torch import Tensor

from thaw.metrics.gathering import LogitMetric
from thaw.seeding import generator


def inception_score(logits: Tensor) -> Tensor:
    """exp(mean KL(p(y | x) || p(y))) of logits [N, K]; in 1..K, saturated softmax or not.

    Sure of each image, and each of another class; then all alike:

    >>> round(inception_score(1000 * torch.eye(3)).item(), 4)
    3.0
    >>> inception_score(torch.zeros(3, 3)).item()
    1.0
    """
    p = logits.softmax(dim=1)
    marginal = p.mean(dim=0, keepdim=True)
    # xlogy makes 0 log 0 = 0; a class with p > 0 has a marginal > 0.
    kl = (torch.xlogy(p, p) - torch.xlogy(p, marginal)).sum(dim=1)
    return kl.mean().exp()


class InceptionScore(LogitMetric):
    """IS = exp(E_x KL(p(y | x) || p(y))), Salimans et al. 2016 (arXiv:1606.03498), section 4.

    Mean and (population) standard deviation over ``splits`` equal parts of the images; higher is
    better; biased downwards in the number of images of a part. The parts are random, but always the
    same for the same N: they depend neither on the order of the classes nor on the batches nor on
    the global generator. torchmetrics' own class draws from the global generator and gives NaN for
    one part and for a saturated classifier; hence this one.
    """

    higher_is_better = True

    def __init__(self, splits: int = 10, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.splits = splits

    def compute(self) -> dict[str, Tensor]:
        """``is_mean`` and ``is_std``, float64; fewer images than parts make parts of one image."""
        logits = self.gathered()
        order = torch.randperm(len(logits), generator=generator(0, "inception_score"))
        parts = logits[order].tensor_split(min(self.splits, len(logits)))
        scores = torch.stack([inception_score(part) for part in parts])
        return {"is_mean": scores.mean(), "is_std": scores.std(correction=0)}

"""What the metrics share: every vector that any process saw, gathered for ``compute``."""

from collections.abc import Sequence
from pkgutil import resolve_name
from typing import Any, Self

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.utilities import dim_zero_cat

from thaw.metrics.reference import Reference
from thaw.metrics.table import Score

MAX_PAIRS = 2_000_000


def collect(scores: Sequence[Score], source: object) -> MetricCollection:
    """The metrics of these scores, each once, by the name of its first score.

    ``source`` is what each is built from: the reference, or the range of the pixels.
    ``update(name=values, ...)`` hands each metric the arguments that its own ``update`` names.
    """
    first = {score.metric: score.name for score in reversed(scores)}
    metrics: dict[str, Any] = {name: resolve_name(metric)(source) for metric, name in first.items()}
    # torchmetrics would share states between metrics whose states happen to be equal.
    return MetricCollection(metrics, compute_groups=False)


def blocks(x: Tensor, num_others: int) -> tuple[Tensor, ...]:
    """The rows of x [N, ...] in blocks, each of which has at most two million pairs with others.

    So what is computed for all pairs, in float64, takes 16 MB whatever N is.
    """
    return torch.split(x, max(1, MAX_PAIRS // num_others))


class GatheredMetric(Metric):
    """A metric over all vectors given to ``update``, in any batches, on any number of processes.

    The vectors are kept, not their sums: moments are then taken in two passes and in float64, and
    the arithmetic runs on the CPU, so a score is the same number on every device (Apple's has no
    float64).
    """

    is_differentiable = False
    full_state_update = False
    vectors: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("vectors", default=[], dist_reduce_fx="cat")

    @classmethod
    def against(cls, reference: Reference) -> Self:
        """The metric that compares with this reference; unless overridden, with nothing of it."""
        return cls()

    def gathered(self) -> Tensor:
        """All vectors [N, D] of all processes, float64 on the CPU, in order of rank and update."""
        gathered: Tensor = dim_zero_cat(self.vectors)
        return gathered.cpu().to(torch.float64)


class FeatureMetric(GatheredMetric):
    """A metric over the encoder's features."""

    def update(self, features: Tensor) -> None:
        """Add features [N, D] of any float type."""
        self.vectors.append(features.detach())


class LogitMetric(GatheredMetric):
    """A metric over the encoder's logits."""

    def update(self, logits: Tensor) -> None:
        """Add logits [N, K] of any float type."""
        self.vectors.append(logits.detach())

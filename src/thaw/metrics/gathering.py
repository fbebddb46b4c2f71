"""What the metrics share: every vector that any process saw, gathered for ``compute``."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

MAX_PAIRS = 2_000_000


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

    def update(self, vectors: Tensor) -> None:
        """Add vectors [N, D] of any float type."""
        self.vectors.append(vectors.detach())

    def gathered(self) -> Tensor:
        """All vectors [N, D] of all processes, float64 on the CPU, in order of rank and update."""
        gathered: Tensor = dim_zero_cat(self.vectors)
        return gathered.cpu().to(torch.float64)

"""What the metrics share: what any process saw, gathered for ``compute``."""

import inspect
from collections.abc import Sequence
from pkgutil import resolve_name
from typing import Any, Self

import torch
import torch.distributed as dist
from torch import Tensor, nn

from thaw.metrics.reference import Reference
from thaw.metrics.table import Score

MAX_PAIRS = 2_000_000


class Metric(nn.Module):
    """A score of all that ``update`` was given, in any batches, on any number of processes.

    It has the methods of a ``torchmetrics.Metric``, which serves as well wherever one of these
    does; but torchmetrics imports torchvision, and that takes longer than torch.

    sync_on_compute: whether ``compute`` is of all processes, each of which must then call it.
    """

    sync_on_compute = True

    def reset(self) -> None:
        """Forget all that ``update`` was given."""
        raise NotImplementedError

    def compute(self) -> Any:
        """A scalar, or scalars by name."""
        raise NotImplementedError

    def of_every_process(self, value: Tensor) -> list[Tensor]:
        """The value of each process, in order of rank, on the CPU where there are several."""
        if not (self.sync_on_compute and dist.is_available() and dist.is_initialized()):
            return [value]
        values: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(values, value.cpu())
        return values


class SummedMetric(Metric):
    """A metric of sums over images, kept as buffers; ``zeros`` gives them by name."""

    def __init__(self, **zeros: Tensor) -> None:
        super().__init__()
        self.names = tuple(zeros)
        for name, zero in zeros.items():
            self.register_buffer(name, zero, persistent=False)

    def reset(self) -> None:
        for name in self.names:
            setattr(self, name, torch.zeros_like(getattr(self, name)))

    def summed(self, name: str) -> Tensor:
        """A sum over all processes."""
        return torch.stack(self.of_every_process(getattr(self, name))).sum(dim=0)


class GatheredMetric(Metric):
    """A metric over all vectors given to ``update``.

    The vectors are kept, not their sums: moments are then taken in two passes and in float64, and
    the arithmetic runs on the CPU, so a score is the same number on every device (Apple's has no
    float64).
    """

    def __init__(self) -> None:
        super().__init__()
        self.vectors: list[Tensor] = []

    @classmethod
    def against(cls, reference: Reference) -> Self:
        """The metric that compares with this reference; unless overridden, with nothing of it."""
        return cls()

    def reset(self) -> None:
        self.vectors = []

    def gathered(self) -> Tensor:
        """All vectors [N, D] of all processes, float64 on the CPU, in order of rank and update."""
        return torch.cat(self.of_every_process(torch.cat(self.vectors))).cpu().to(torch.float64)


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


class Metrics(nn.Module):
    """Several metrics that are updated and computed together."""

    def __init__(self, metrics: dict[str, Any]) -> None:
        super().__init__()
        self.by_name = nn.ModuleDict(metrics)
        self._metrics = metrics
        self._names = {
            name: inspect.signature(metric.update).parameters.keys()
            for name, metric in metrics.items()
        }

    def __getitem__(self, name: str) -> Any:
        return self._metrics[name]

    def reset(self) -> None:
        """Forget all that they were given."""
        for metric in self._metrics.values():
            metric.reset()

    def update(self, **values: Tensor) -> None:
        """Hand each metric the arguments that its own ``update`` names."""
        for name, metric in self._metrics.items():
            metric.update(**{key: values[key] for key in self._names[name] if key in values})

    def compute(self) -> dict[str, Tensor]:
        """The scores by name."""
        found: dict[str, Tensor] = {}
        for name, metric in self._metrics.items():
            result = metric.compute()
            found |= result if isinstance(result, dict) else {name: result}
        return found

    def of_this_process(self) -> Self:
        """The same metrics, from now on of what this process saw alone."""
        for metric in self._metrics.values():
            metric.sync_on_compute = False
        return self


def collect(scores: Sequence[Score], source: object) -> Metrics:
    """The metrics of these scores, each once, by the name of its first score.

    ``source`` is what each is built from: the reference, or the range of the pixels.
    """
    first = {score.metric: score.name for score in reversed(scores)}
    return Metrics({name: resolve_name(metric)(source) for metric, name in first.items()})


def blocks(x: Tensor, num_others: int) -> tuple[Tensor, ...]:
    """The rows of x [N, ...] in blocks, each of which has at most two million pairs with others.

    So what is computed for all pairs, in float64, takes 16 MB whatever N is.
    """
    return torch.split(x, max(1, MAX_PAIRS // num_others))

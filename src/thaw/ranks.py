"""Processes that train one model together: the rank of this one, and its portion of the work."""

import os
from typing import NamedTuple

# Set by torchrun and thaw itself, by SLURM, by Lightning.
VARIABLES = ("RANK", "SLURM_PROCID", "LOCAL_RANK")
# Lightning reads these as well.
OF_NODES = ("NODE_RANK", "GROUP_RANK")


class Batch(NamedTuple):
    """A batch of some work: its number, its items, and which of its results are to be kept."""

    number: int
    items: slice
    kept: slice

    @property
    def size(self) -> int:
        """How many items it has."""
        size: int = self.items.stop - self.items.start
        return size


class Portion(NamedTuple):
    """One process's portion of the work of all; by default the whole of it."""

    rank: int = 0
    world_size: int = 1

    def of(self, num_items: int) -> slice:
        """Its items: those of all processes are disjoint, in order and as equal as can be."""
        first, last = (num_items * rank // self.world_size for rank in (self.rank, self.rank + 1))
        return slice(first, last)

    def batches(self, num_items: int, batch_size: int) -> list[Batch]:
        """Its share of the batches that one process alone would work on.

        Where there are fewer batches than processes, a process without one gets the first to work
        on, and keeps none of its results: metrics over all processes want a batch of each.
        """
        starts = range(0, num_items, batch_size)
        items = [slice(start, min(start + batch_size, num_items)) for start in starts]
        own = [Batch(k, items[k], slice(None)) for k in range(len(items))[self.of(len(items))]]
        return own or [Batch(0, first, slice(0)) for first in items[:1]]


WHOLE = Portion()


def forget_left_over() -> None:
    """Drop from the environment ranks that no launcher has set: an earlier shell left them.

    torchrun names itself; every launcher of several processes says how many there are, and srun's
    own number is its own; the others say where they meet.
    """
    if _number("SLURM_NTASKS") < 2:
        os.environ.pop("SLURM_PROCID", None)
    is_launched = _number("WORLD_SIZE") > 1 and "MASTER_ADDR" in os.environ
    if "TORCHELASTIC_RUN_ID" not in os.environ and not is_launched:
        for name in ("RANK", "LOCAL_RANK", *OF_NODES):
            os.environ.pop(name, None)


def _number(name: str) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else 0


def rank() -> int:
    """The number of this process, from 0; rank 0 alone keeps the record and writes files."""
    return next((int(os.environ[name]) for name in VARIABLES if name in os.environ), 0)

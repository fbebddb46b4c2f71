"""Processes that train one model together: which of them this one is, and its part of a batch."""

import os

# Of torchrun and of thaw itself, of SLURM, of Lightning.
VARIABLES = ("RANK", "SLURM_PROCID", "LOCAL_RANK")


def rank() -> int:
    """The number of this process, from 0; rank 0 alone keeps the record and writes files."""
    return next((int(os.environ[name]) for name in VARIABLES if name in os.environ), 0)


def part(num_items: int, rank: int, world_size: int) -> slice:
    """Of ``num_items`` in order those of a rank: disjoint, together all, as equal as can be."""
    return slice(num_items * rank // world_size, num_items * (rank + 1) // world_size)

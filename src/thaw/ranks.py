"""Processes that train one model together: which of them this one is, and its part of a batch."""

import os

# Of torchrun and of thaw itself, of SLURM, of Lightning.
VARIABLES = ("RANK", "SLURM_PROCID", "LOCAL_RANK")
# Lightning reads these as well.
OF_NODES = ("NODE_RANK", "GROUP_RANK")


def forget_left_over() -> None:
    """Drop from the environment ranks that no launcher has set: they are some earlier shell's.

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


def part(num_items: int, rank: int, world_size: int) -> slice:
    """Of ``num_items`` in order those of a rank: disjoint, together all, as equal as can be."""
    return slice(num_items * rank // world_size, num_items * (rank + 1) // world_size)

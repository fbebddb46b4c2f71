"""The loss of each optimiser step: float32, little-endian, that of step k at 4 (k - 1) bytes."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from thaw import storage

SIZE = 4


def write(path: Path, losses: Sequence[float], first: int) -> None:
    """Put the losses of the steps ``first``, first + 1, ... in place of all from there on.

    Steps that are missing before are NaN: of a run that began without such a file.
    """
    storage.check_there()
    size = path.stat().st_size if path.is_file() else 0
    num_there = min(size // SIZE, first - 1)  # of a file that is cut off, what is whole
    cut_back(path, num_there)
    missing = np.full(first - 1 - num_there, np.nan)
    with storage.writing(path), path.open("ab") as file:
        file.write(np.concatenate([missing, losses]).astype("<f4").tobytes())


def cut_back(path: Path, num_steps: int) -> None:
    """Forget the steps after a checkpoint's."""
    if path.is_file() and path.stat().st_size > SIZE * num_steps:
        os.truncate(path, SIZE * num_steps)

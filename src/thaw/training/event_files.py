"""TensorBoard's event files, cut back to a checkpoint so that a resumed run writes no row twice."""

import os
from collections.abc import Mapping
from pathlib import Path

PATTERN = "events.out.tfevents.*"
FINAL = ".final"
"""Ends the name of a file of scores after training, which belongs to no checkpoint."""


def sizes(run_dir: Path) -> dict[str, int]:
    """Bytes of each event file of the training, by name."""
    return {path.name: path.stat().st_size for path in _files(run_dir)}


def cut_back(run_dir: Path, kept: Mapping[str, int]) -> None:
    """Leave of each event file what was there when ``sizes`` said so, of others nothing.

    Files that this process has begun stay: they come after the checkpoint.
    """
    for path in _files(run_dir):
        if f".{os.getpid()}." in path.name:
            continue
        if path.name not in kept:
            path.unlink()
        elif path.stat().st_size > kept[path.name]:
            os.truncate(path, kept[path.name])


def _files(run_dir: Path) -> list[Path]:
    found = (path for path in sorted(run_dir.glob(PATTERN)) if not path.is_symlink())
    return [path for path in found if not path.name.endswith(FINAL)]

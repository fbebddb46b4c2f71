"""TensorBoard's event files, cut back to a checkpoint so that a resumed run writes no row twice."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path

PATTERN = "events.out.tfevents.*"
FINAL = ".final"
"""Ends the name of a file of scores after training, which belongs to no checkpoint."""


def sizes(run_dir: Path) -> dict[str, int]:
    """Bytes of each event file of the training, by name."""
    return {path.name: path.stat().st_size for path in _files(run_dir)}


def names(run_dir: Path) -> set[str]:
    """The event files of the training that there are now."""
    return {path.name for path in _files(run_dir)}


def cut_back(run_dir: Path, earlier: Collection[str], kept: Mapping[str, int]) -> None:
    """Leave of each ``earlier`` file what was there when ``sizes`` said so, of others nothing.

    Files that have been begun since then stay: they come after the checkpoint.
    """
    for path in (run_dir / name for name in earlier):
        if path.name not in kept:
            path.unlink()
        elif path.stat().st_size > kept[path.name]:
            os.truncate(path, kept[path.name])


def _files(run_dir: Path) -> list[Path]:
    found = (path for path in sorted(run_dir.glob(PATTERN)) if not path.is_symlink())
    return [path for path in found if not path.name.endswith(FINAL)]

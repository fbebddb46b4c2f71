"""TensorBoard's event files, cut back to a checkpoint so that a resumed run writes no row twice."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path

PATTERN = "events.out.tfevents.*"
FINAL = ".final"
"""End of the name of a file with scores after training, which belongs to no checkpoint."""


def sizes(run_dir: Path) -> dict[str, int]:
    """Size in bytes of each event file of the training, by name."""
    found = [path for path in sorted(run_dir.glob(PATTERN)) if not path.is_symlink()]
    return {path.name: path.stat().st_size for path in found if not path.name.endswith(FINAL)}


def cut_back(run_dir: Path, earlier: Collection[str], kept: Mapping[str, int]) -> None:
    """Cut each ``earlier`` file back to its size in ``kept``; delete those that are not in it.

    Files that are not ``earlier`` stay: they were begun after the checkpoint.
    """
    for path in (run_dir / name for name in earlier):
        if path.name not in kept:
            path.unlink()
        elif path.stat().st_size > kept[path.name]:
            os.truncate(path, kept[path.name])

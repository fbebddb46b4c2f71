"""The run directory: names of its files, and the record kept in run.json."""

import fcntl
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thaw import ranks
from thaw.storage import LOCK, WriteError, read_json, write_atomically

RECORD = "run.json"
METRICS = "metrics.csv"
STEP_LOSSES = "step_losses.f32"
LOGGERS = "loggers.json"
SAMPLES = "samples"
FIGURES = "figures"
EVALUATIONS = "evaluations"
RESTORATION = Path(FIGURES) / "restoration.npz"
SCHEDULE = Path(FIGURES) / "schedule.csv"
LAST_CHECKPOINT = Path("checkpoints") / "last.ckpt"
PREVIOUS_CHECKPOINT = Path("checkpoints") / "previous.ckpt"
BEST_CHECKPOINT = Path("checkpoints") / "best.ckpt"
WEIGHTS = "model.safetensors"
ZOO = "zoo"
CONFIG = Path(".hydra") / "config.yaml"
HYDRA = Path(".hydra") / "hydra.yaml"
OVERRIDES = Path(".hydra") / "overrides.yaml"
GIT_DIFF = "git.diff"
REQUIREMENTS = "requirements.txt"
GONE = "its process is gone"
SIGNAL = "ended_by_signal"
"""Key in the record of a run one of whose processes a signal ended: the signal's number."""
ENDED_BY = "ended_by"
"""Key in the record of what ended training before its last epoch, None for nothing."""
PRUNING = "pruning"
"""How that begins for a run that a search has ended."""


def shown(path: Path) -> Path:
    """A path as it is printed: from the current directory, where it lies below that."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def results_of(run_dir: Path) -> Path:
    """Where what is made with a run goes: into its directory, or beside a folder of weights."""
    return Path("outputs", ZOO, run_dir.name) if (run_dir / WEIGHTS).is_file() else run_dir


def read_record(run_dir: Path) -> dict[str, Any]:
    """The contents of run.json; empty if the run has no such file.

    A ``running`` run whose process on this machine is gone is ``interrupted``. ``ValueError`` where
    the file is not a JSON object.
    """
    record = _stored_record(run_dir)
    here = platform.node()
    is_running = record.get("status") == "running" and record.get("host", here) == here
    if is_running and not is_held(run_dir):
        record |= {"status": "interrupted", "error": GONE}
    return record


def is_pruned(record: Mapping[str, Any]) -> bool:
    """Whether a search has ended the run of this record early."""
    return str(record.get(ENDED_BY)).startswith(PRUNING)


def is_held(run_dir: Path) -> bool:
    """Whether a process holds the run directory's lock, or that cannot be known."""
    try:
        with (run_dir / LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return not isinstance(error, FileNotFoundError)
    return False


def _stored_record(run_dir: Path) -> dict[str, Any]:
    path = run_dir / RECORD
    return read_json(path) if path.exists() else {}


def update_record(run_dir: Path, changes: Mapping[str, Any]) -> None:
    """Merge ``changes`` into run.json; NaN and infinity become null.

    Only the first of several processes that train together does so. On a full disk what was there
    stays, but a run that had come to its end is ``failed``.
    """
    if ranks.rank() > 0:
        return
    record = _stored_record(run_dir) | dict(changes)
    path = run_dir / RECORD
    try:
        write_atomically(path, json.dumps(finite(record), indent=2) + "\n")
    except WriteError:
        if changes.get("status", "running") != "running":
            _mark_failed(path)
        raise


def _mark_failed(path: Path) -> None:
    """Write ``failed`` over ``running``, which needs no space on the disk."""
    before, after = b'"status": "running"', b'"status": "failed" '
    position = path.read_bytes().find(before) if path.is_file() else -1
    if position >= 0:
        with path.open("r+b") as file:
            file.seek(position)
            file.write(after)


def finite(value: Any) -> Any:
    """The same containers, with None for NaN and infinity."""
    if isinstance(value, Mapping):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    if isinstance(value, float) and not (abs(value) < float("inf")):
        return None
    return value

"""The run directory: names of its files, and the record kept in run.json."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thaw import ranks

RECORD = "run.json"
METRICS = "metrics.csv"
SAMPLES = "samples"
FIGURES = "figures"
EVALUATIONS = "evaluations"
RESTORATION = Path(FIGURES) / "restoration.npz"
SCHEDULE = Path(FIGURES) / "schedule.csv"
LAST_CHECKPOINT = Path("checkpoints") / "last.ckpt"
PREVIOUS_CHECKPOINT = Path("checkpoints") / "previous.ckpt"
BEST_CHECKPOINT = Path("checkpoints") / "best.ckpt"
CONFIG = Path(".hydra") / "config.yaml"
OVERRIDES = Path(".hydra") / "overrides.yaml"
STATUSES = ("running", "completed", "failed", "interrupted")


def write_text_atomically(path: Path, text: str) -> None:
    """Write a whole file or none: a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def read_record(run_dir: Path) -> dict[str, Any]:
    """The contents of run.json, empty where there is none.

    Raises:
        ValueError: the file is no JSON object.
    """
    path = run_dir / RECORD
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path} is damaged: not a JSON object")
    return record


def update_record(run_dir: Path, changes: Mapping[str, Any]) -> None:
    """Merge ``changes`` into run.json; numbers that JSON has no word for become null.

    Of processes that train together only the first does so.
    """
    if ranks.rank() > 0:
        return
    record = read_record(run_dir) | dict(changes)
    write_text_atomically(run_dir / RECORD, json.dumps(finite(record), indent=2) + "\n")


def finite(value: Any) -> Any:
    """The same containers, with None for each number that JSON has no word for."""
    if isinstance(value, Mapping):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    if isinstance(value, float) and not (abs(value) < float("inf")):
        return None
    return value

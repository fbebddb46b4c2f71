"""The run directory: names of its files, and the record kept in run.json."""

import errno
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
HYDRA = Path(".hydra") / "hydra.yaml"
OVERRIDES = Path(".hydra") / "overrides.yaml"
MAX_TEXT_BYTES = 100_000_000
GIT_DIFF = "git.diff"
REQUIREMENTS = "requirements.txt"
LOCK = ".lock"
STATUSES = ("running", "completed", "failed", "interrupted")
# What the system calls a full disk, or one that is not to be written to.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


class WriteError(OSError):
    """A file could not be written: one line that names it and says why."""


def shown(path: Path) -> Path:
    """A path as it is printed: from the current directory, where it lies below that."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def reason(error: BaseException) -> str:
    """Why writing failed, such as ``No space left on device``: what the system says of it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Give what the system says of a full disk, or of one not to be written to, the file's name.

    Raises:
        WriteError: in place of an OSError of that kind.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise WriteError(f"{path} could not be written: {reason(error)}") from error


def write_text_atomically(path: Path, text: str) -> None:
    """Write a whole file or none, in UTF-8; otherwise as :func:`write_atomically`."""
    write_atomically(path, text.encode())


def write_atomically(path: Path, contents: bytes) -> None:
    """Write a whole file or none: a reader never sees half of it.

    Raises:
        WriteError: the disk is full; what was there before is whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with writing(path), os.fdopen(handle, "wb") as file:
            file.write(contents)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write_if_changed(path: Path, contents: bytes) -> None:
    """Have a file hold ``contents``, touching it only where it does not; no file for nothing."""
    if not contents:
        path.unlink(missing_ok=True)
    elif not path.is_file() or path.read_bytes() != contents:
        write_atomically(path, contents)


def read_record(run_dir: Path) -> dict[str, Any]:
    """The contents of run.json, empty where there is none.

    Raises:
        ValueError: the file is no JSON object.
    """
    path = run_dir / RECORD
    return read_json(path) if path.exists() else {}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: there is none, or one that thaw does not write: too large or too deep.
    """
    if not path.is_file() or path.stat().st_size > MAX_TEXT_BYTES:
        raise ValueError(f"{path} is damaged: no file of at most {MAX_TEXT_BYTES:,} bytes")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} is damaged: not a JSON object")
    return value


def update_record(run_dir: Path, changes: Mapping[str, Any]) -> None:
    """Merge ``changes`` into run.json; numbers that JSON has no word for become null.

    Of processes that train together only the first does so.

    Raises:
        WriteError: the disk is full; what was there stays, but a run that had come to its end is
            ``failed``.
    """
    if ranks.rank() > 0:
        return
    record = read_record(run_dir) | dict(changes)
    path = run_dir / RECORD
    try:
        write_text_atomically(path, json.dumps(finite(record), indent=2) + "\n")
    except WriteError:
        if changes.get("status", "running") != "running":
            _mark_failed(path)
        raise


def _mark_failed(path: Path) -> None:
    """Write ``failed`` over ``running``, which takes no room."""
    before, after = b'"status": "running"', b'"status": "failed" '
    position = path.read_bytes().find(before) if path.is_file() else -1
    if position >= 0:
        with path.open("r+b") as file:
            file.seek(position)
            file.write(after)


def check_no_links(run_dir: Path, out: Path) -> None:
    """Refuse to write into a folder of a run through a link, which may lead anywhere.

    A folder outside of the run is the user's own affair.

    Raises:
        ValueError: naming the link.
    """
    if not out.absolute().is_relative_to(run_dir.absolute()):
        return
    inside = out.absolute().relative_to(run_dir.absolute()).parts
    above = [run_dir.joinpath(*inside[: depth + 1]) for depth in range(len(inside))]
    for path in (*above, *out.rglob("*")):
        if path.is_symlink():
            raise ValueError(f"{path} is a link, through which nothing is written: remove it")


def finite(value: Any) -> Any:
    """The same containers, with None for each number that JSON has no word for."""
    if isinstance(value, Mapping):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    if isinstance(value, float) and not (abs(value) < float("inf")):
        return None
    return value

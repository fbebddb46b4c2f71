"""The run directory: names of its files, and the record kept in run.json."""

import csv
import errno
import fcntl
import io
import json
import os
import platform
import re
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
GONE = "its process is gone"
SIGNAL = "ended_by_signal"
"""In the record of a run that failed because a signal ended a process of its: the number."""
STATUSES = ("running", "completed", "failed", "interrupted")
# What the system calls a full disk, or one that is not to be written to.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


class WriteError(OSError):
    """A file could not be written: one line that names it and says why."""


class GoneError(OSError):
    """The run directory that this process trains in is not there any more."""


_trained_in: Path | None = None


@contextmanager
def trained_in(run_dir: Path) -> Iterator[None]:
    """Write nothing any more, :func:`make_folder`, once this run directory is gone.

    Raises:
        GoneError: in place of whatever fails because of that.
    """
    global _trained_in
    _trained_in = run_dir
    try:
        yield
    except Exception:
        check_there()
        raise
    finally:
        _trained_in = None


def check_there() -> None:
    """Refuse to go on where the directory that this process trains in was moved or removed.

    A folder of the same name that was made since has no lock in it.

    Raises:
        GoneError: it was.
    """
    if _trained_in is not None and not (_trained_in / LOCK).exists():
        raise GoneError(f"{_trained_in} is gone: it was moved or removed while the run was at work")


def make_folder(path: Path) -> None:
    """Make a folder to write into, and those above it, where they are missing.

    Raises:
        GoneError: see :func:`trained_in`.
    """
    check_there()
    path.mkdir(parents=True, exist_ok=True)


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


def cache_folder(what: str) -> Path:
    """Where ``what`` is kept between runs; whatever is in it may be deleted at any time."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "thaw" / what


def make_cache(folder: Path, otherwise: str) -> None:
    """Make a folder to keep something in between runs.

    Args:
        folder: it may be there.
        otherwise: the names of what may be set to another one.

    Raises:
        OSError: it cannot be made or written to; one line with the way out.
    """
    try:
        if folder.parts[:1] == ("~",):
            raise OSError(errno.ENOENT, "there is no HOME")
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(
            f"{folder} cannot be written to ({reason(error)}): set {otherwise} to a folder that can"
        ) from None


def write_text_atomically(path: Path, text: str) -> None:
    """Write a whole file or none, in UTF-8; otherwise as :func:`write_atomically`."""
    write_atomically(path, text.encode())


def write_atomically(path: Path, contents: bytes) -> None:
    """Write a whole file or none: a reader never sees half of it.

    Raises:
        WriteError: the disk is full; what was there before is whole.
        GoneError: see :func:`trained_in`.
    """
    make_folder(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with writing(path), os.fdopen(handle, "wb") as file:
            file.write(contents)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        # A signal may come when it is in place already.
        Path(temporary).unlink(missing_ok=True)
        raise


def write_if_changed(path: Path, contents: bytes) -> None:
    """Have a file hold ``contents``, touching it only where it does not; no file for nothing."""
    if not contents:
        path.unlink(missing_ok=True)
    elif not path.is_file() or path.read_bytes() != contents:
        write_atomically(path, contents)


def read_record(run_dir: Path) -> dict[str, Any]:
    """The contents of run.json, empty where there is none.

    A run whose process is gone is ``interrupted``, though it could not say so itself. Of one on
    another machine that is not known.

    Raises:
        ValueError: the file is no JSON object.
    """
    record = _stored_record(run_dir)
    here = platform.node()
    is_running = record.get("status") == "running" and record.get("host", here) == here
    if is_running and not is_held(run_dir):
        record |= {"status": "interrupted", "error": GONE}
    return record


def is_held(run_dir: Path) -> bool:
    """Whether a process has the run directory for itself, or that cannot be known."""
    try:
        # A pipe in its place would be waited for.
        file = os.open(run_dir / LOCK, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False


def _stored_record(run_dir: Path) -> dict[str, Any]:
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
        value = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} is damaged: not a JSON object")
    return value


def read_text(path: Path) -> str:
    """A text in UTF-8, without the byte-order mark that some editors put before it."""
    return path.read_text(encoding="utf-8-sig")


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file of thaw, also where a spreadsheet has written it anew.

    Then it may have semicolons or tabs between its cells, decimal commas, columns in another order,
    and rows of empty cells, which are left out.

    Raises:
        ValueError: it is damaged, in words that go on after the name of the file.
    """
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise ValueError(f"it has more than {MAX_TEXT_BYTES:,} bytes")
    text = path.read_bytes().decode("utf-8-sig")
    try:
        lines = io.StringIO(text, newline=None)
        header = lines.readline()
        lines.seek(0)
        rows = list(csv.DictReader(lines, delimiter=max(",;\t", key=header.count)))
    except csv.Error as error:
        raise ValueError(str(error)) from error
    # What DictReader makes of too many cells or too few.
    if any(None in row or None in row.values() for row in rows):
        raise ValueError("a row is cut off or too long")
    found = [{key: _with_point(cell) for key, cell in row.items()} for row in rows]
    found = [row for row in found if any(row.values())]
    if not found:
        raise ValueError("it has no rows")
    if not text.endswith(("\n", "\r")):
        raise ValueError("its last row is cut off")
    return found


def _with_point(cell: str) -> str:
    """The cell, with a point where it is a number with a decimal comma."""
    is_number = re.fullmatch(r"[+-]?\d+,\d+([eE][+-]?\d+)?", cell)
    return cell.replace(",", ".") if is_number else cell


def update_record(run_dir: Path, changes: Mapping[str, Any]) -> None:
    """Merge ``changes`` into run.json; numbers that JSON has no word for become null.

    Of processes that train together only the first does so.

    Raises:
        WriteError: the disk is full; what was there stays, but a run that had come to its end is
            ``failed``.
    """
    if ranks.rank() > 0:
        return
    record = _stored_record(run_dir) | dict(changes)
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

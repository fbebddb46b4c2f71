"""Files: written whole or not at all, and read as text, JSON and CSV."""

import csv
import errno
import io
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LOCK = ".lock"
# What the system calls a full disk, or one that is not to be written to.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


class WriteError(OSError):
    """A file could not be written: one line that names it and says why."""


class GoneError(OSError):
    """The run directory that this process trains in is not there any more."""


_trained_in: Path | None = None


@contextmanager
def trained_in(run_dir: Path) -> Iterator[None]:
    """Have :func:`make_folder` raise :class:`GoneError` once this run directory is gone."""
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
    """Raise :class:`GoneError` where the directory that this process trains in is gone."""
    # A folder of the same name that was created since has no lock in it.
    if _trained_in is not None and not (_trained_in / LOCK).exists():
        raise GoneError(f"{_trained_in} is gone: it was moved or removed while the run was at work")


def make_folder(path: Path) -> None:
    """Create a folder to write into, and those above it; see :func:`trained_in`."""
    check_there()
    path.mkdir(parents=True, exist_ok=True)


def reason(error: BaseException) -> str:
    """Why writing failed, in the system's words, such as ``No space left on device``."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise :class:`WriteError` for a disk that is full or cannot be written to."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise WriteError(f"{path} could not be written: {reason(error)}") from error


def cache_folder(what: str) -> Path:
    """The folder in which ``what`` is kept between runs; it may be deleted at any time."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "thaw" / what


def make_cache(folder: Path, otherwise: str) -> None:
    """Create a folder that is kept between runs; ``OSError`` where it cannot be written to.

    ``otherwise`` are keys and variables that choose another folder, for the message.
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


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file to write, which replaces ``path`` once the block has ended without an error.

    So a reader sees the whole file, or what was there before, also where the disk is full.
    """
    make_folder(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    unfinished = Path(name)
    try:
        with writing(path):
            yield unfinished
        unfinished.chmod(0o644)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_atomically(path: Path, contents: str | bytes) -> None:
    """Write a file by :func:`replacing`; text is in UTF-8."""
    with replacing(path) as unfinished:
        unfinished.write_bytes(contents.encode() if isinstance(contents, str) else contents)


def write_if_changed(path: Path, contents: bytes) -> None:
    """Write a file unless it holds ``contents`` already; remove it where they are empty."""
    if not contents:
        path.unlink(missing_ok=True)
    elif not path.is_file() or path.read_bytes() != contents:
        write_atomically(path, contents)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; ``ValueError`` for anything else in the file."""
    try:
        value = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} is damaged: not a JSON object")
    return value


def read_text(path: Path) -> str:
    """A text in UTF-8, without the byte-order mark that some editors put before it."""
    return path.read_text(encoding="utf-8-sig")


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file of thaw, also where a spreadsheet has saved it again.

    Then it may have semicolons or tabs between its cells, decimal commas, columns in another order,
    and rows of empty cells, which are left out.

    Raises:
        ValueError: it is damaged; the message does not name the file.
    """
    text = path.read_bytes().decode("utf-8-sig")
    try:
        lines = io.StringIO(text, newline=None)
        header = lines.readline()
        lines.seek(0)
        rows = list(csv.DictReader(lines, delimiter=max(",;\t", key=header.count)))
    except csv.Error as error:
        raise ValueError(str(error)) from error
    # DictReader's marks for too many cells and for too few.
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


def check_no_links(run_dir: Path, out: Path) -> None:
    """Refuse to write into a folder inside a run through a link, which may lead anywhere."""
    run_dir, out = run_dir.absolute(), out.absolute()
    above = [path for path in (out, *out.parents) if run_dir in path.parents]
    for path in (*above, *(out.rglob("*") if above else ())):
        if path.is_symlink():
            raise ValueError(f"{path} is a link, through which nothing is written: remove it")

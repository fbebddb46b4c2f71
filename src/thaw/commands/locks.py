"""A lock on a run directory, which ends with the process that holds it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from thaw import storage
from thaw.commands.errors import InputError

# runs.is_held takes the lock for a moment.
MOMENT_S = 0.2


class InUseError(InputError):
    """Another process is training in the run directory."""


@contextmanager
def locked(run_dir: Path, wait_s: float = MOMENT_S) -> Iterator[None]:
    """Lock a run directory for this process.

    The operating system holds the lock: it ends with the process, however that ends, and the file
    that is left locks nothing.

    Raises:
        InUseError: another process still holds it after ``wait_s`` seconds.
    """
    lock = FileLock(run_dir / storage.LOCK, timeout=wait_s)
    try:
        lock.acquire()
    except Timeout:
        raise InUseError(f"{run_dir} is in use: another process is training there") from None
    try:
        yield
    finally:
        lock.release()

"""Progress of what takes long: a bar on a terminal, a line now and then in a log."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tqdm import tqdm

from thaw import ranks

log = logging.getLogger(__name__)
# In a log: the time until the first line, and between lines.
FIRST_S, EVERY_S = 10.0, 30.0
REDRAW_S = 0.5


@dataclass
class Task:
    """Work under way: what it is, and its number of parts (0 where that is not known)."""

    what: str
    total: int
    count: Callable[[], int]
    start: float = field(default_factory=time.monotonic)

    def share(self) -> float:
        """Share that is done, 0 to 1."""
        return min(1.0, self.count() / self.total)

    def in_words(self) -> str:
        """``reading 40 runs: 43 % after 40 s``."""
        seconds = f"{time.monotonic() - self.start:.0f} s"
        if not self.total:
            return f"{self.what}: {seconds} so far"
        return f"{self.what}: {100 * self.share():.0f} % after {seconds}"


_running: list[Task] = []


@contextmanager
def progress(what: str, total: int = 0, count: Callable[[], int] | None = None) -> Iterator[None]:
    """Show how far the block is, from a thread of its own; where blocks nest, the innermost only.

    The work itself only counts, so neither its draws nor its speed depend on this. ``total`` is the
    number of parts, 0 where they cannot be counted; ``count()`` that of parts done since any
    earlier moment, called from the thread a few times a second: it must not wait for a device.
    """
    if ranks.rank() > 0:
        yield
        return
    before = count() if count else 0
    task = Task(what, total, lambda: count() - before if count else 0)
    is_over = threading.Event()
    show = _draw if sys.stderr.isatty() else _log
    thread = threading.Thread(target=show, args=(task, is_over), daemon=True)
    _running.append(task)
    thread.start()
    try:
        yield
    finally:
        _running.remove(task)
        is_over.set()
        thread.join()


def _log(task: Task, is_over: threading.Event) -> None:
    pause = FIRST_S
    while not is_over.wait(pause):
        pause = EVERY_S
        if _running[-1] is task:
            log.info("%s", task.in_words())


def _draw(task: Task, is_over: threading.Event) -> None:
    shape = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    if is_over.wait(REDRAW_S):
        return
    with tqdm(
        total=1.0 if task.total else None,
        desc=task.what,
        bar_format=shape if task.total else "{desc}: {elapsed}",
        leave=False,
    ) as bar:
        while not is_over.wait(REDRAW_S):
            bar.n = task.share() if task.total else 0
            bar.refresh()

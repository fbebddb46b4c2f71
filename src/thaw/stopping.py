"""Signals that end a run: at once, or after a training step that is under way."""

import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from thaw import ranks

# The signal on which submitit requeues a job, by the name that its users may change.
REQUEUE = ("SUBMITIT_PREEMPT_SIGNAL", "USR2")

OF_USERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_is_deferred = False
_requested: int | None = None
_installed: dict[int, Any] = {}
_taken_over: dict[int, Callable[[int, FrameType | None], Any]] = {}


class Stopped(BaseException):
    """SIGINT, SIGTERM, SIGHUP or a scheduler's signal arrived.

    Like KeyboardInterrupt no ``except Exception`` swallows it; unlike it, Lightning lets it pass
    instead of exiting with a code of its own.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.number = signal_number
        self.exit_code = 128 + signal_number

    def __str__(self) -> str:
        return f"stopped by signal {self.number}"


def listen() -> None:
    """Let SIGINT, SIGTERM and SIGHUP stop this process, unless a scheduler handles them itself.

    SIGHUP (a closed terminal) stays ignored in a process that nohup has started. The signal on
    which a scheduler requeues the job stops it too, so that there is a checkpoint first; see
    :func:`pass_on`. Where several processes train together, only the first stops, and takes the
    others with it.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    requeue = getattr(signal, f"SIG{os.environ.get(*REQUEUE)}", None)
    is_nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    stopped_by = [each for each in OF_USERS if not (is_nohup and each == signal.SIGHUP)]
    for number in stopped_by:
        if ranks.rank() > 0:
            signal.signal(number, signal.SIG_IGN)
        elif not _has_other_handler(number):
            signal.signal(number, on_signal)
    if requeue is not None and ranks.rank() == 0 and _has_other_handler(requeue):
        handler = signal.getsignal(requeue)
        assert callable(handler)
        _taken_over[requeue] = handler
        signal.signal(requeue, on_signal)
    numbers = (*stopped_by, *_taken_over)
    _installed.update({number: signal.getsignal(number) for number in numbers})


@contextmanager
def listening() -> Iterator[None]:
    """Listen during a block of a process that goes on after it, such as a notebook's."""
    if threading.current_thread() is not threading.main_thread():  # no signal arrives here
        yield
        return
    before = {number: signal.getsignal(number) for number in OF_USERS}
    listen()
    try:
        yield
    finally:
        global _is_deferred, _requested
        _is_deferred, _requested = False, None
        _installed.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def _has_other_handler(number: int) -> bool:
    handler = signal.getsignal(number)
    return callable(handler) and handler not in (on_signal, signal.default_int_handler)


def listen_again() -> None:
    """Put back what :func:`listen` installed where a library has put its own in its place."""
    for number, handler in _installed.items():
        signal.signal(number, handler)


def pass_on(stop: Stopped) -> None:
    """Let the scheduler, if the signal was its own, requeue the job and exit."""
    if stop.number in _taken_over:
        _taken_over[stop.number](stop.number, None)


def on_signal(number: int, frame: FrameType | None) -> None:
    """The handler: raises Stopped, or waits to be :func:`requested`; a second one always raises."""
    global _requested
    if number == signal.SIGHUP:
        signal.signal(number, signal.SIG_IGN)  # the shell and the system both send it
        _leave_closed_terminal()
    if _is_deferred and _requested is None:
        _requested = number
    else:
        raise Stopped(number)


def _leave_closed_terminal() -> None:
    """Send output for a terminal that is gone to nowhere: writing to it is an error."""
    for number in (1, 2):
        is_device = stat.S_ISCHR(os.fstat(number).st_mode)
        if is_device and not os.isatty(number):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)


def defer(is_deferred: bool) -> None:
    """Let signals wait, or not. Whoever defers them asks :func:`requested` soon."""
    global _is_deferred
    _is_deferred = is_deferred
    if not is_deferred and (number := requested()) is not None:
        raise Stopped(number)


def requested() -> int | None:
    """The number of a waiting signal, which then waits no longer; None without one."""
    global _requested
    number, _requested = _requested, None
    return number

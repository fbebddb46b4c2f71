"""SIGINT and SIGTERM: at once, or where a training step is under way after it."""

from types import FrameType

_is_deferred = False
_requested: int | None = None


class Stopped(BaseException):
    """SIGINT or SIGTERM arrived.

    Like KeyboardInterrupt no ``except Exception`` swallows it; unlike it, Lightning lets it pass
    instead of exiting with a code of its own.
    """

    def __init__(self, signal_number: int) -> None:
        self.exit_code = 128 + signal_number
        super().__init__(f"stopped by signal {signal_number}")


def on_signal(number: int, frame: FrameType | None) -> None:
    """The handler: raises, or waits for :func:`requested` to be asked; a second one raises always.

    Raises:
        Stopped: unless it is deferred.
    """
    global _requested
    if _is_deferred and _requested is None:
        _requested = number
    else:
        raise Stopped(number)


def defer(is_deferred: bool) -> None:
    """Whether a signal waits. Whoever defers asks :func:`requested` soon."""
    global _is_deferred
    _is_deferred = is_deferred


def requested() -> int | None:
    """The number of a signal that is waiting, which is then told to nobody else."""
    global _requested
    number, _requested = _requested, None
    return number

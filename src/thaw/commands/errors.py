"""Errors of the commands, and their messages in one line."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra.errors import HydraException, InstantiationException
from omegaconf.errors import OmegaConfBaseException

from thaw.commands.keys import in_place_of_hydras
from thaw.privates.hydra import is_before_a_job
from thaw.stopping import Stopped
from thaw.storage import GoneError, WriteError

MAX_GIVEN = 500
# A note on an error.
LOGGED = "the traceback is in the run's log"
NOT_LOGGED = "HYDRA_FULL_ERROR=1 shows the traceback"
# The errors of Python that Hydra raises for an argument it does not expect.
NONSENSE = (TypeError, AttributeError, LookupError, AssertionError)


class InputError(ValueError):
    """The configuration or an input is wrong: one line for the user, exit code 2."""


class ProcessEndedError(RuntimeError):
    """A process has ended before it should; the exit code of a signal is its negative number."""

    def __init__(self, name: str, code: int, words: str = "") -> None:
        super().__init__(name, code, words)
        self.name = name
        self.signal_number = -code if code < 0 else None
        self.how = f"ended with exit code {code}{words and f': {words}'}"
        if code < 0:
            hint = ", out of memory?" if -code == signal.SIGKILL else ""
            self.how = f"was ended by signal {-code} ({signal.Signals(-code).name}){hint}"

    def __str__(self) -> str:
        return f"{self.name} {self.how}"


class Escaped(BaseException):
    """Carries an error past Hydra, which would add lines of its own to it."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        super().__init__(str(error))


@contextmanager
def as_input_errors() -> Iterator[None]:
    """Turn any error into an InputError: what fails before training is the input's fault."""
    try:
        yield
    except (InputError, GoneError):
        raise
    except Exception as error:
        raise InputError(one_line(error)) from error


def outcome(
    error: BaseException, arguments: Sequence[str] = (), command: str = "train"
) -> tuple[int, str]:
    """The exit code that a command with these arguments ends with, and the line that says why."""
    if isinstance(error, Stopped):
        return error.exit_code, str(error)
    line = one_line(error)
    if isinstance(error, InputError | OmegaConfBaseException):
        return 2, line
    if isinstance(error, HydraException):
        if instead := in_place_of_hydras(error, command):
            return 2, instead
        keys = [argument.lstrip("+~").partition("=")[0] for argument in arguments]
        is_named = any(key in line for key in keys)
        return 2, line if is_named or not keys else f"{line} {_given(arguments)}"
    if is_before_a_job(error, "thaw.commands.jobs"):
        # A text where a list has numbers is a ValueError, but so is a file's mistake, in its words.
        if isinstance(error, NONSENSE) or line.startswith("invalid literal for int()"):
            line = "no configuration can be made of this"
        return 2, f"{line} {_given(arguments)}"
    if isinstance(error, ProcessEndedError | GoneError):
        return 1, f"failed: {line}"
    where = LOGGED if LOGGED in getattr(error, "__notes__", ()) else NOT_LOGGED
    return 1, f"failed: {line} ({where})"


def _given(arguments: Sequence[str]) -> str:
    return f"(given: {' '.join(' '.join(arguments).split())[:MAX_GIVEN]})"


def one_line(error: BaseException) -> str:
    """The message of an error in one line, without Hydra's and OmegaConf's wrapping."""
    while isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__
    text = str(error) or repr(error)
    lines = [line for line in text.splitlines() if line and not line.startswith("    ")]
    message = " ".join(" ".join(lines).split()) or repr(error)
    key = getattr(error, "full_key", None)  # OmegaConf's errors have it
    if key and str(key) not in message:
        message = f"{key}: {message}"
    cause = error.__cause__
    # These have told what they wrap.
    if isinstance(cause, InstantiationException) or isinstance(error, WriteError):
        return message
    first = " ".join(next(iter(str(cause or "").splitlines()), "").split())
    if first not in message:
        message = f"{message}: {first}"
    return message

"""What can go wrong, and how it is said in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import InstantiationException

from thaw.runs import WriteError


class InputError(ValueError):
    """The configuration or an input is wrong: one line for the user, exit code 2."""


class Escaped(BaseException):
    """Carries an error past Hydra, which would add lines of its own to it."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        super().__init__(str(error))


@contextmanager
def as_input_errors() -> Iterator[None]:
    """Whatever fails before training starts is the configuration's or an input's fault."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(one_line(error)) from error


def one_line(error: BaseException) -> str:
    """The message of an error in one line, without Hydra's and OmegaConf's wrapping."""
    while isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__
    text = str(error) or repr(error)
    lines = [line for line in text.splitlines() if line and not line.startswith("    ")]
    message = " ".join(" ".join(lines).split()) or repr(error)
    cause = error.__cause__
    # These have told what they wrap.
    if isinstance(cause, InstantiationException) or isinstance(error, WriteError):
        return message
    if cause is not None and str(cause) and str(cause).splitlines()[0] not in message:
        message = f"{message}: {str(cause).splitlines()[0]}"
    return message

"""Errors of the Python API: what a command would refuse is a ValueError with the same line."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from thaw.commands.errors import InputError, outcome


@contextmanager
def as_value_errors(arguments: Sequence[str] = (), command: str = "train") -> Iterator[None]:
    """Turn what a command would exit with 2 for into a ValueError; anything else passes.

    ``HYDRA_FULL_ERROR=1`` in the environment keeps the traceback behind the line, as in a command.
    """
    try:
        yield
    except Exception as error:
        code, line = outcome(error, arguments, command)
        if code != 2:
            raise
        show_traceback = os.environ.get("HYDRA_FULL_ERROR", "0") == "1"
        raise InputError(line) from (error if show_traceback else None)

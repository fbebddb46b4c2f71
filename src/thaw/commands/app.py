"""Runs a command under Hydra: prepares its arguments, and turns errors into one line and a code."""

import logging
import os
import sys
import time
from typing import NoReturn

import hydra
from hydra.errors import MissingConfigException

from thaw import ranks
from thaw.commands import config
from thaw.commands.arguments import folders_of, prepared, resumed
from thaw.commands.errors import Escaped, InputError, one_line, outcome
from thaw.commands.jobs import Job
from thaw.commands.start import written
from thaw.commands.sweeps import error_of_all, print_summary
from thaw.stopping import Stopped, listen

CONF = config.CONF
# When the command began, by the monotonic clock; before the imports that take longest.
started_s = time.monotonic()


def run(command: str) -> NoReturn:
    """Compose conf/<command>.yaml with the command line and call thaw.commands.<command>.main.

    Exits with 0 (done), 2 (configuration or input wrong, one line on stderr), 1 (failed on the
    way), 130 / 143 (interrupted). HYDRA_FULL_ERROR=1 shows the traceback behind one line.
    """
    global started_s
    started_s = time.monotonic()
    ranks.forget_left_over()
    config.register()
    # Figures go to files; whatever window is configured, there may be no screen for it.
    os.environ["MPLBACKEND"] = "agg"
    show_traceback = os.environ.get("HYDRA_FULL_ERROR", "0") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise instead of printing and exiting
    logging.raiseExceptions = False  # on a full disk, or where nobody reads, once a line
    listen()
    try:
        with written():
            try:
                _run_hydra(command)
            finally:
                print_summary()
    except (Exception, Stopped) as error:
        if show_traceback and not isinstance(error, Stopped):
            raise
        _exit(*outcome(error, sys.argv[1:], command))
    sys.exit(0)


def _run_hydra(command: str) -> None:
    given = sys.argv[1:]
    name, sys.argv[1:] = prepared(given, command)
    main = hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)
    try:
        main(Job(command))()
    except MissingConfigException as error:
        run_dir = resumed(given) if command == "train" else None
        if run_dir is not None and (folders := folders_of(run_dir)):
            raise InputError(
                f"{one_line(error)}; {run_dir} was started with {' '.join(folders)}: give it too"
            ) from None
        raise
    except Escaped as escaped:
        raise escaped.error from escaped.error.__cause__
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        # Optuna's, whose words for a search without a single result do not say why.
        raise error_of_all() or error from None


def _exit(code: int, line: str) -> NoReturn:
    print(f"thaw: {line}", file=sys.stderr)
    sys.exit(code)

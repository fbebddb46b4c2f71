"""Runs a command under Hydra: prepares its arguments, and turns errors into one line and a code."""

import os
import sys
from typing import NoReturn

import hydra

from thaw.commands import config, replay
from thaw.commands.arguments import prepare_arguments
from thaw.commands.errors import Escaped, outcome
from thaw.commands.jobs import Job
from thaw.commands.sweeps import print_summary
from thaw.stopping import Stopped, listen

CONF = config.CONF


def run(command: str) -> NoReturn:
    """Compose conf/<command>.yaml with the command line and call thaw.commands.<command>.main.

    Exits with 0 (done), 2 (configuration or input wrong, one line on stderr), 1 (failed on the
    way), 130 / 143 (interrupted). HYDRA_FULL_ERROR=1 shows the traceback behind one line.
    """
    config.register()
    show_traceback = os.environ.get("HYDRA_FULL_ERROR", "0") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise instead of printing and exiting
    listen()
    try:
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
    sys.argv[1:] = prepare_arguments(sys.argv[1:], command)
    stored = replay.replayed(sys.argv[1:]) if command == "train" else None
    name = replay.compose_from(stored, sys.argv[1:], CONF) if stored else command
    main = hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)
    try:
        main(Job(command))()
    except Escaped as escaped:
        raise escaped.error from escaped.error.__cause__


def _exit(code: int, line: str) -> NoReturn:
    print(f"thaw: {line}", file=sys.stderr)
    sys.exit(code)

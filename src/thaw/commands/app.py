"""Runs a command under Hydra: prepares its arguments, and turns errors into one line and a code."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import hydra

from thaw.commands import config, replay
from thaw.commands.errors import Escaped, InputError, outcome
from thaw.commands.jobs import Job
from thaw.commands.stored_overrides import stored_overrides
from thaw.commands.sweeps import print_summary
from thaw.stopping import Stopped, listen

CONF = config.CONF
TEXT_KEYS = (
    "run",
    "runs",
    "resume",
    "replay",
    "out",
    "images",
    "title",
    "data.root",
    "data.folder",
    "data.cache",
    "hydra.run.dir",
    "hydra.sweep.dir",
)


def run(command: str) -> NoReturn:
    """Compose conf/<command>.yaml with the command line and call thaw.commands.<command>.main.

    Exits with 0 (done), 2 (configuration or input wrong, one line on stderr), 1 (failed on the
    way), 130 / 143 (interrupted). HYDRA_FULL_ERROR=1 shows the traceback behind one line.
    """
    config.register()
    # Figures go to files; whatever window is configured, there may be no screen for it.
    os.environ["MPLBACKEND"] = "agg"
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
        _exit(*outcome(error, sys.argv[1:]))
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


def prepare_arguments(arguments: Sequence[str], command: str) -> list[str]:
    """Quote paths and titles that Hydra's grammar would trip over, and open ``resume=DIR``.

    Raises:
        InputError: the directory to resume holds no run, another is to be replayed, or an argument
            is no text.
    """
    for argument in arguments:
        if not argument.isprintable() and any(
            "\ud800" <= letter <= "\udfff" for letter in argument
        ):
            raise InputError(f"{argument!a} is no text in UTF-8")
        key, _, directory = argument.partition("=")
        if key == "resume" and directory not in ("auto", "never"):
            others = [other for other in arguments if other != argument]
            if any(other.startswith("replay=") for other in others):
                raise InputError("give either resume=DIR or replay=DIR")
            arguments = _resume_arguments(Path(directory), others)
    return [_quote_text(_added_where_absent(argument, command)) for argument in arguments]


def _added_where_absent(argument: str, command: str) -> str:
    """``sampler.num_steps=5`` alone changes a stored run's own sampler, which is not composed."""
    is_change = argument.startswith(("sampler.", "prior."))
    return f"++{argument}" if command != "train" and is_change else argument


def _quote_text(argument: str) -> str:
    key, equals, value = argument.partition("=")
    plain = re.fullmatch(r"[\w./*?~@:+-]*", value, re.ASCII)
    is_list = key in ("runs", "images") and re.fullmatch(r"\[.*\]", value)
    is_quoted = value[:1] in ("'", '"') or "${" in value
    if key not in TEXT_KEYS or not equals or plain or is_list or is_quoted:
        return argument
    # Within quotes, Hydra's grammar reads backslashes as escapes before a quote or the end only.
    escaped = re.sub(r"(\\*)('|$)", r"\1\1\2", value).replace("'", "\\'")
    return f"{key}='{escaped}'"


def _resume_arguments(run_dir: Path, arguments: list[str]) -> list[str]:
    lists = [argument for argument in arguments if argument.startswith("trusted=")]
    trusted = re.findall(r"[\w.]+", lists[-1].removeprefix("trusted=")) if lists else []
    stored = [
        override
        for override in stored_overrides(run_dir, trusted)
        if not override.startswith("resume=")  # a never of then is no wish of now
    ]
    options = [argument for argument in arguments if argument.startswith("-")]
    changes = [argument for argument in arguments if not argument.startswith("-")]
    return [*options, *stored, *changes, f"hydra.run.dir={run_dir}"]


def _exit(code: int, line: str) -> NoReturn:
    print(f"thaw: {line}", file=sys.stderr)
    sys.exit(code)

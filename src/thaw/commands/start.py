"""Starts a command: its plain help is answered at once, all else by Hydra."""

import os
import re
import signal
import string
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import yaml

from thaw.groups import CHOSEN, CONF

HELP = (["--help"], ["-h"])
COMMANDS = {
    "train": "train a model, or many (-m)",
    "sample": "images that a run generates or restores",
    "evaluate": "scores of a run, as often as you like",
    "demo": "a page to draw on, degrade, restore and generate",
    "report": "a page, figures and tables of runs",
    "export": "weights of a run, to give away",
    "import": "a trained model of the study's, as a run",
    "train-encoder": "a classifier to score other data by",
}
# `import` is no name of a module.
MODULES = {"import": "import_weights"}
USAGE = "thaw COMMAND [GROUP=CHOICE] [KEY=VALUE] ...; thaw COMMAND --help\n" + "".join(
    f"  {name:14}{what}\n" for name, what in COMMANDS.items()
)
# A choice of Hydra's own, which has no file in conf/.
OF_HYDRA = "basic"


def main() -> NoReturn:
    """``thaw COMMAND ...``: what ``python COMMAND.py ...`` does in a checkout."""
    command, *arguments = sys.argv[1:] or ["--help"]
    if [command] in HELP:
        with written():
            print(USAGE, end="")
        sys.exit(0)
    if command not in COMMANDS:
        names = ", ".join(COMMANDS)
        print(f"thaw: COMMAND must be one of {names}, got {command}", file=sys.stderr)
        sys.exit(2)
    sys.argv[1:] = arguments
    run(MODULES.get(command, command.replace("-", "_")))


def run(command: str) -> NoReturn:
    """As :func:`thaw.commands.app.run`, without its imports where only help is asked for."""
    if sys.argv[1:] in HELP and (text := help_text(command)):
        with written():
            print(text)
        sys.exit(0)
    # Imported here: Hydra takes several times as long as the help.
    from thaw.commands import app

    app.run(command)


def help_text(command: str) -> str:
    """What Hydra prints for ``--help``; empty where that shows the whole configuration."""
    found = yaml.safe_load((CONF / f"{command}.yaml").read_text(encoding="utf-8"))["hydra"]["help"]
    text: str = found["template"]
    if "$CONFIG" in text:
        return ""
    text = text.replace("${hydra.help.header}", found["header"])
    text = re.sub(r"\$\{thaw\.choices:([\w/,]*)\}", lambda match: _choices(match[1]), text)
    return string.Template(text).substitute()


def _choices(names: str) -> str:
    """A line a group with its choices; all groups of train.py if no names are given."""
    groups = names.split(",") if names else CHOSEN
    return "".join(f"{group}: {', '.join(_options(group))}\n" for group in groups)


def _options(group: str) -> list[str]:
    own = [path.stem for path in (CONF / group).glob("*.yaml")]
    return sorted([*own, *([OF_HYDRA] if group.startswith("hydra/") else [])])


@contextmanager
def written() -> Iterator[None]:
    """Flush what was printed; where nobody reads it, as after ``| head``, end without an error."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Or it would be tried again at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)

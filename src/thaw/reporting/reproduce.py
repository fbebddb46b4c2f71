"""The commands that made runs again, as a shell script; run.json records them."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from thaw.reporting.finished import FinishedRun
from thaw.reporting.groups import Group

HEAD = """\
#!/bin/sh
# Trains and evaluates the runs of this report again, in {folder}/, and reports on them. In a
# checkout of thaw:
#   sh reproduce.sh
# PYTHON=DIR/python takes another Python.
set -eu
PYTHON=${{PYTHON:-python}}
"""
# Where a run is kept and what it is called is of the command that made it.
LEFT_OUT = re.compile(r"\+{0,2}(hydra\.(run|sweep)\.|sweep\.|resume=|report=)")
FOLDER = "reproduced"


def script(groups: Sequence[Group], overrides: Sequence[str]) -> str:
    """The command of each run, of its evaluations, and of the report, which had ``overrides``."""
    runs = [run for group in groups for run in group.members]
    lines = [HEAD.format(folder=FOLDER)]
    for group in groups:
        lines.append(f"\n# {_one_line(group.title)}\n")
        for run in group.members:
            lines += _commands(run, f"{FOLDER}/{runs.index(run):02d}")
    lines.append(f"\n# The report\n{_command('report.py', f'runs={FOLDER}', *overrides)}")
    return "".join(lines)


def _commands(run: FinishedRun, folder: str) -> Iterator[str]:
    """What a run was made with, in comments, and its command."""
    git = run.get("git") or {}
    commit = f"commit {git.get('commit')}" + (", changed: git.diff" if git.get("dirty") else "")
    versions = run.get("versions") or {}
    made = [commit] if git else [f"thaw {versions.get('thaw')}"]
    made += [f"torch {versions.get('torch')}", f"{run.get('device')}", f"seed {run.get('seed')}"]
    data = run.get("dataset") or {}
    made += [f"data {data.get('name')} {data.get('checksum')}"] if data else []
    yield f"# {_one_line(str(run.directory))}: {_one_line(', '.join(made))}\n"
    overrides = run.get("overrides")
    if overrides is None:
        yield "# Nothing is recorded of how it was made.\n"
        return
    kept = [each for each in map(str, overrides) if not LEFT_OUT.match(each)]
    yield _command("train.py", *kept, f"hydra.run.dir={folder}")
    for evaluation in run.evaluations:
        if (given := evaluation.get("overrides")) is not None:
            yield _command("evaluate.py", f"run={folder}", *map(str, given))


def _command(*words: str) -> str:
    return f'"$PYTHON" {shlex.join(words)}\n'


def _one_line(text: str) -> str:
    """Text that ends no comment."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def write(groups: Sequence[Group], overrides: Sequence[str], path: Path) -> None:
    """Write the script, to be run by whoever has read it."""
    path.write_text(script(groups, overrides), encoding="utf-8")
    path.chmod(0o755)

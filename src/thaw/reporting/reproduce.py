"""The commands that made runs again, as a shell script; run.json records them."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from thaw.reporting.finished import FinishedRun
from thaw.reporting.groups import Group

HEAD = """\
#!/bin/sh
# Trains the runs of this report again, into {folder}/, and reports on them. In a checkout of thaw:
#   sh reproduce.sh
# PYTHON=DIR/python takes another Python.
set -eu
PYTHON=${{PYTHON:-python}}
"""
# Where a run is kept and what it is called is of the command that made it.
LEFT_OUT = re.compile(r"\+{0,2}(hydra\.(run|sweep)\.|sweep\.|resume=|report=)")
FOLDER = "reproduced"


def script(groups: Sequence[Group], title: str) -> str:
    """A line for each run with its overrides, and one for the report."""
    runs = [run for group in groups for run in group.members]
    lines = [HEAD.format(folder=FOLDER)]
    for group in groups:
        lines.append(f"\n# {_one_line(group.title)}\n")
        for run in group.members:
            lines += _commands(run, f"{FOLDER}/{runs.index(run):02d}")
    report = shlex.join(["report.py", f"runs={FOLDER}", f"title={title}", "paper=true"])
    lines.append(f'\n# The report\n"$PYTHON" {report}\n')
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
    yield f'"$PYTHON" {shlex.join(["train.py", *kept, f"hydra.run.dir={folder}"])}\n'


def _one_line(text: str) -> str:
    """Text that ends no comment."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def write(groups: Sequence[Group], title: str, path: Path) -> None:
    """Write the script, to be run by whoever has read it."""
    path.write_text(script(groups, title), encoding="utf-8")
    path.chmod(0o755)

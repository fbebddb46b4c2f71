"""What Tab completes in bash, as docs/configuration.md installs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands_support import ROOT

SECTION = (ROOT / "docs" / "configuration.md").read_text().partition("## Completion")[2]
# The second line of its code; the first makes `python` this one.
INSTALL = SECTION.split("```")[1].splitlines()[2]
ASK = """
words=($1)
COMP_LINE=$1 COMP_POINT=${#1} COMP_CWORD=$((${#words[@]} - 1))
hydra_bash_completion
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("python train.py degradation=column_ra", {"degradation=column_random"}),
        ("python evaluate.py num_s", {"num_samples="}),
        ("python train.py optimizer=", {f"optimizer={name}" for name in ("adam", "adamw", "sgd")}),
    ],
)
def test_groups_choices_and_keys_are_completed(typed: str, expected: set[str]) -> None:
    assert INSTALL.startswith("eval ")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    finished = subprocess.run(
        ["bash", "-c", INSTALL + ASK, "bash", typed],
        cwd=ROOT,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert set(finished.stdout.split()) == expected, finished.stderr

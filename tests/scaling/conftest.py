"""Runs train.py, and has the processes that it starts find the tests' own callbacks."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from commands_support import ROOT

Train = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def train(fork_command: Train) -> Train:
    """``train("-m", ..., cwd=folder)``: the finished process, its output as text."""
    folders = [str(ROOT / "tests"), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(folders)

    def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return fork_command("train", *arguments, cwd=cwd, **({"PYTHONPATH": path} | environment))

    return run

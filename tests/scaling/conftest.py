"""Runs train.py as a user does, from a process that has imported the libraries already."""

import multiprocessing
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from scaling_support import COMMANDS

Train = Callable[..., subprocess.CompletedProcess[str]]
TIMEOUT_S = 400


@pytest.fixture(scope="session")
def train() -> Train:
    """``train("-m", ..., cwd=folder)``: the finished process, its output as text."""
    from commands_support import run_forked

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["thaw.commands.train"])

    def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        # What the processes that this one starts must find: the tests' faults, and thaw.
        folders = [str(COMMANDS), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        path = os.pathsep.join(folders)
        variables = {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": path} | environment
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder) / "out", Path(folder) / "err"
            process = context.Process(
                target=run_forked, args=("train", arguments, str(cwd), variables, out, err)
            )
            process.start()
            process.join(TIMEOUT_S)
            if process.exitcode is None:
                process.kill()
                raise subprocess.TimeoutExpired("train", TIMEOUT_S, out.read_text())
            return subprocess.CompletedProcess(
                arguments, process.exitcode, out.read_text(), err.read_text()
            )

    return run

"""What tests of every folder share."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands_support import ROOT, run_forked

# Tensors are small here: a second thread costs more than it brings, above all beside other workers.
torch.set_num_threads(1)

Run = Callable[..., subprocess.CompletedProcess[str]]
TIMEOUT_S = 400
COMMANDS = (
    "train", "evaluate", "sample", "demo", "export", "import_weights", "train_encoder", "report",
)  # fmt: skip


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """The folder that holds the real MNIST, where the machine has it."""
    root = Path(os.environ.get("THAW_DATA") or ROOT.parent / "shared" / "data")
    if not (root / "MNIST" / "raw").is_dir():
        pytest.skip("needs the real MNIST: set THAW_DATA to a folder that holds MNIST/raw/")
    return root


@pytest.fixture(autouse=True)
def same_start() -> None:
    """Each test begins with the same global generator, whichever tests ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def run_command() -> Run:
    """``run_command("train", ..., cwd=folder)``: the finished process, its output as text."""

    def run(
        command: str, *arguments: str, cwd: Path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(ROOT / f"{command}.py"), *arguments],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": ""} | environment,
        )

    return run


@pytest.fixture(scope="session")
def fork_command() -> Run:
    """As ``run_command``, but forked from a process that has imported the libraries already.

    Importing them takes most of a small command's time; everything after it is the same.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([f"thaw.commands.{command}" for command in COMMANDS])

    def run(
        command: str, *arguments: str, cwd: Path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        variables = {"CUDA_VISIBLE_DEVICES": ""} | environment
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder) / "out", Path(folder) / "err"
            process = context.Process(
                target=run_forked, args=(command, arguments, str(cwd), variables, out, err)
            )
            process.start()
            process.join(TIMEOUT_S)
            if process.exitcode is None:
                process.kill()
                raise subprocess.TimeoutExpired(command, TIMEOUT_S)
            return subprocess.CompletedProcess(
                arguments, process.exitcode, out.read_text(), err.read_text()
            )

    return run

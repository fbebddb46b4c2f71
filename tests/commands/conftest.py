"""Runs the commands as a user does: in a process of their own, from a folder of their own."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from commands_support import ROOT, TINY, run_forked

Run = Callable[..., subprocess.CompletedProcess[str]]
TIMEOUT_S = 300
COMMANDS = ("train", "evaluate", "sample", "train_encoder", "report")


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


@pytest.fixture(scope="session")
def cold_run(run_command: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two epochs of column averaging, in a folder with blanks and commas.

    Trained under settings of matplotlib's that no figure may take up.
    """
    folder = tmp_path_factory.mktemp("cold")
    # Of a user who sets papers in TeX, on a machine without it, in a terminal that has a window.
    (folder / "matplotlibrc").write_text("text.usetex: True\nsavefig.format: pdf\n")
    run_dir = folder / "a run, with = and blanks"
    finished = run_command(
        "train",
        *TINY,
        "degradation=column_random",
        "trainer.max_epochs=2",
        f"hydra.run.dir={run_dir}",
        cwd=folder,
        MPLBACKEND="no such window",
    )
    assert finished.returncode == 0, finished.stderr
    return run_dir


@pytest.fixture(scope="session")
def hot_run(fork_command: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one epoch of the Gaussian model, in its default directory."""
    folder = tmp_path_factory.mktemp("hot")
    finished = fork_command("train", *TINY, "trainer.max_epochs=1", cwd=folder)
    assert finished.returncode == 0, finished.stderr
    (run_dir,) = folder.glob("outputs/*/*")
    return run_dir

"""Runs the real commands in a subprocess, as a user does."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands_support import ROOT, TINY

Run = Callable[..., subprocess.CompletedProcess[str]]


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
            timeout=300,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": ""} | environment,
        )

    return run


@pytest.fixture(scope="session")
def cold_run(run_command: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two epochs of column averaging, in a folder with blanks and commas."""
    folder = tmp_path_factory.mktemp("cold")
    run_dir = folder / "a run, with = and blanks"
    finished = run_command(
        "train",
        *TINY,
        "degradation=column_random",
        "trainer.max_epochs=2",
        f"hydra.run.dir={run_dir}",
        cwd=folder,
    )
    assert finished.returncode == 0, finished.stderr
    return run_dir


@pytest.fixture(scope="session")
def hot_run(run_command: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one epoch of the Gaussian model, in its default directory."""
    folder = tmp_path_factory.mktemp("hot")
    finished = run_command("train", *TINY, "trainer.max_epochs=1", cwd=folder)
    assert finished.returncode == 0, finished.stderr
    (run_dir,) = folder.glob("outputs/*/*")
    return run_dir

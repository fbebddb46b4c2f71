"""Finished runs that the tests of the commands share."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from commands_support import TINY

Run = Callable[..., subprocess.CompletedProcess[str]]


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

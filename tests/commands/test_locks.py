"""A run directory is one process's at a time, also when whole sweeps meet in it."""

import csv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from commands_support import LEAST, by_seed, record

from thaw.commands.recording import locked

Run = Callable[..., Any]


def rows(table: Path) -> dict[str, str]:
    """The status of each job of a sweep.csv by its seed."""
    with table.open(newline="") as file:
        return {row["seed"]: row["status"] for row in csv.DictReader(file)}


def test_a_run_in_a_directory_in_use_is_refused_and_touches_nothing(
    tmp_path: Path, fork_command: Run
) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    with locked(run_dir):
        refused = fork_command("train", *LEAST, f"hydra.run.dir={run_dir}", cwd=tmp_path)
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert line == f"thaw: {run_dir} is in use: another process is training there"
    assert {path.name for path in run_dir.iterdir()} == {".lock", "train.log"}


def test_a_sweep_leaves_out_a_job_that_is_run_elsewhere(tmp_path: Path, fork_command: Run) -> None:
    sweep = tmp_path / "multirun" / "both"
    elsewhere = sweep / by_seed(LEAST, 1)
    elsewhere.mkdir(parents=True)
    with locked(elsewhere):
        finished = fork_command("train", "-m", *LEAST, "seed=1,2", "sweep.name=both", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count(f"left out: {elsewhere} is in use") == 1
    assert not (elsewhere / "run.json").exists()
    assert record(sweep / by_seed(LEAST, 2))["status"] == "completed"
    assert rows(sweep / "sweep.csv") == {"2": "completed"}


def at_once(folder: Path, fork_command: Run, *name: str) -> list[Any]:
    """Two identical sweeps of two jobs, started together."""
    with ThreadPoolExecutor(2) as pool:
        command = ("train", "-m", *LEAST, "seed=1,2", *name)
        started = [pool.submit(fork_command, *command, cwd=folder) for _ in range(2)]
        finished = [each.result() for each in started]
    for each in finished:
        assert each.returncode == 0, each.stderr
    return finished


def test_two_identical_sweeps_at_once_train_each_job_once(
    tmp_path: Path, fork_command: Run
) -> None:
    finished = at_once(tmp_path, fork_command, "sweep.name=same")
    sweep = tmp_path / "multirun" / "same"
    assert rows(sweep / "sweep.csv") == {"1": "completed", "2": "completed"}
    assert sum(each.stdout.count("trained to epoch 1") for each in finished) == 2
    for seed in (1, 2):
        run_dir = sweep / by_seed(LEAST, seed)
        assert (run_dir / "train.log").read_text().count("epoch 1/1") == 1
        assert len((run_dir / "metrics.csv").read_text().splitlines()) == 2
        assert len(list(run_dir.glob("events.*"))) == 1

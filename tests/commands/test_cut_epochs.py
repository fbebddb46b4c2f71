"""A run that trainer.max_steps ends inside an epoch, through the real command line."""

import csv
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands_support import LEAST, TINY, record

from thaw import runs
from thaw.commands.recording import locked
from thaw.commands.sweeps import write_summary

Run = Callable[..., Any]
# Scores and grids after the last epoch alone, which two of four batches cut.
CUT = [
    *TINY,
    "trainer.max_epochs=4",
    "trainer.max_steps=6",
    "metrics.every_n_epochs=10",
    "metrics.num_restored=0",
    "metrics.num_restored_each_epoch=0",
    "metrics.final_num_samples=20",
    "callbacks.samples.at_epochs=last",
    "sweep.metric=val/fid",
]


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory, fork_command: Run) -> tuple[Path, list[Any]]:
    """A run that a hang-up ends where its last epoch has ended, and the same command again."""
    run_dir = tmp_path_factory.mktemp("cut") / "run"
    node = "+callbacks.fault"
    fault = [
        f"{node}._target_=fault_callbacks.EndAt",
        f"{node}.signal_number={int(signal.SIGHUP)}",
        f"{node}.phase=epoch_end",
        f"{node}.epoch=2",
    ]
    command = ["train", *CUT, f"hydra.run.dir={run_dir}"]
    first = fork_command(*command, *fault, cwd=run_dir.parent)
    status = record(run_dir)["status"]
    return run_dir, [first, status, fork_command(*command, cwd=run_dir.parent)]


def test_a_hang_up_is_heard_at_once_where_training_has_ended(cut: tuple[Path, list[Any]]) -> None:
    _, (first, status, second) = cut
    assert first.returncode == 129, first.stderr
    assert first.stderr == f"thaw: stopped by signal {int(signal.SIGHUP)}\n"
    assert status == "interrupted"
    assert "continuing from" in second.stdout


def test_the_cut_epoch_has_what_the_last_one_has(cut: tuple[Path, list[Any]]) -> None:
    run_dir, (*_, second) = cut
    assert second.returncode == 0, second.stderr
    with (run_dir / "metrics.csv").open(newline="") as file:
        first, last = csv.DictReader(file)
    assert [first["step"], last["step"]] == ["4", "6"]
    assert [bool(row["val/loss"]) for row in (first, last)] == [True, False]
    assert [bool(row["val/fid"]) for row in (first, last)] == [False, True]
    assert "val/loss" not in record(run_dir)["last_epoch"]
    assert {path.name for path in (run_dir / "samples").iterdir()} == {"epoch_0002.png"}
    assert (run_dir / "checkpoints" / "best.ckpt").is_file()


def test_it_is_said_what_ended_it(cut: tuple[Path, list[Any]]) -> None:
    run_dir, (*_, second) = cut
    end = "trainer.max_steps=6 in epoch 2 of 4, step 6"
    (line,) = [line for line in second.stdout.splitlines() if "trained to epoch 2" in line]
    assert line.endswith(f", ended by {end}")
    found = record(run_dir)
    assert (found["status"], found["ended_by"]) == ("completed", end)


@pytest.mark.slow  # tests/scaling/test_shares.py has what is forgotten
def test_a_rank_that_somebody_left_in_the_environment_is_forgotten(
    tmp_path: Path, run_command: Run
) -> None:
    """In a process of its own: Lightning reads the environment when it is imported."""
    variables = {"LOCAL_RANK": "1", "WORLD_SIZE": "2"}
    finished = run_command("train", *LEAST, "hydra.run.dir=run", cwd=tmp_path, **variables)
    assert finished.returncode == 0, finished.stderr
    assert record(tmp_path / "run")["status"] == "completed"
    assert list((tmp_path / "run").glob("events.*"))


def test_a_run_whose_process_is_gone_is_read_as_interrupted(tmp_path: Path) -> None:
    run_dir = tmp_path / "0_job"
    with locked(run_dir):
        runs.update_record(run_dir, {"status": "running", "host": os.uname().nodename})
        assert [row["status"] for row in write_summary(tmp_path)] == ["running"]
    (row,) = write_summary(tmp_path)
    assert (row["status"], row["error"]) == ("interrupted", "its process is gone")
    with (tmp_path / "sweep.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["status"] == "interrupted"
    # A reader changes nothing, nor does a later change of something else.
    runs.update_record(run_dir, {"seed": 1})
    assert json.loads((run_dir / "run.json").read_text())["status"] == "running"
    # Of a run on another machine it is not known.
    runs.update_record(run_dir, {"host": "another machine"})
    assert runs.read_record(run_dir)["status"] == "running"

"""A run that trainer.max_steps ends inside an epoch, through the real command line."""

import csv
import json
import os
import pty
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands_support import LEAST, ROOT, TINY, record

from thaw import runs
from thaw.commands.locks import locked
from thaw.commands.sweeps import write_summary

Run = Callable[..., Any]
# Scores and grids after the last epoch alone, which two of four batches cut.
CUT = [
    *TINY,
    "trainer.max_epochs=4",
    "trainer.max_steps=6",
    "metrics.every_n_epochs=10",
    "metrics.num_restored=0",
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


@pytest.mark.parametrize(
    "variables",
    [pytest.param({"RANK": "1"}, marks=pytest.mark.slow), {"LOCAL_RANK": "1", "WORLD_SIZE": "2"}],
)
def test_a_rank_that_somebody_left_in_the_environment_is_forgotten(
    variables: dict[str, str], tmp_path: Path, run_command: Run
) -> None:
    """In a process of its own: Lightning reads the environment when it is imported."""
    finished = run_command("train", *LEAST, "hydra.run.dir=run", cwd=tmp_path, **variables)
    assert finished.returncode == 0, finished.stderr
    assert record(tmp_path / "run")["status"] == "completed"
    assert list((tmp_path / "run").glob("events.*"))


@pytest.mark.slow  # a hang-up in a forked process is above
def test_a_run_whose_terminal_is_closed_saves_and_says_so(tmp_path: Path) -> None:
    """A terminal of its own: writing to one that is gone is an error."""
    run_dir = tmp_path / "run"
    command = [*LEAST, "trainer.max_epochs=100000", f"hydra.run.dir={run_dir}"]
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(tmp_path)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.execv(sys.executable, [sys.executable, str(ROOT / "train.py"), *command])
    deadline = time.monotonic() + 200
    while not (run_dir / "checkpoints" / "previous.ckpt").is_file():
        assert time.monotonic() < deadline
        if select.select([terminal], [], [], 0.1)[0]:
            os.read(terminal, 4096)
    assert runs.read_record(run_dir)["status"] == "running"
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 129
    assert record(run_dir)["status"] == "interrupted"


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


def test_of_a_run_on_another_machine_that_is_not_known(tmp_path: Path) -> None:
    runs.update_record(tmp_path, {"status": "running", "host": "another machine"})
    assert runs.read_record(tmp_path)["status"] == "running"


def test_a_pipe_in_place_of_a_lock_is_not_waited_for(tmp_path: Path) -> None:
    runs.update_record(tmp_path, {"status": "running"})
    os.mkfifo(tmp_path / runs.LOCK)
    assert runs.read_record(tmp_path)["status"] == "interrupted"

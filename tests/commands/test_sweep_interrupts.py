"""A sweep that is stopped, however: its summary is there, and the same command finishes it."""

import csv
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from commands_support import LEAST, record

Run = Callable[..., Any]
# The second of three jobs, in the middle of its second epoch of four steps.
STEP = 6
SHAPE = ["trainer.limit_train_batches=4", "trainer.max_epochs=2"]
ENDS = {
    "ctrl-c": (signal.SIGINT, 130),
    "preemption": (signal.SIGTERM, 143),
    "hang-up": (signal.SIGHUP, 129),
    "kill": None,
}


class Story(NamedTuple):
    """A sweep that a signal ended, and the same command again.

    ``stopped`` has of each job begun by the first its status, ``step`` is that of the second's
    checkpoint, ``table`` the sweep.csv then.
    """

    how: str
    processes: list[subprocess.CompletedProcess[str]]
    runs: dict[int, Path]
    stopped: dict[int, str]
    step: int
    table: dict[str, str]


def statuses(table: Path) -> dict[str, str]:
    with table.open(newline="") as file:
        return {row["seed"]: row["status"] for row in csv.DictReader(file)}


# The signals differ in their numbers alone; a kill of a single run is in test_exact_resume.py.
SLOW = [pytest.param(how, marks=pytest.mark.slow) for how in ENDS if how != "ctrl-c"]


@pytest.fixture(scope="module", params=["ctrl-c", *SLOW])
def story(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, fork_command: Run
) -> Story:
    folder = tmp_path_factory.mktemp(request.param)
    number, _ = ENDS[request.param] or (signal.SIGKILL, 0)
    node = "+callbacks.fault"
    fault = [
        f"{node}._target_=fault_callbacks.EndOnce",
        f"{node}.marker={folder}/sent",
        f"{node}.of_seed=2",
        f"{node}.step={STEP}",
        f"{node}.signal_number={int(number)}",
    ]
    command = ["-m", *LEAST, *SHAPE, *fault, "seed=1,2,3", "sweep.name=study"]
    sweep = folder / "multirun" / "study"

    def runs() -> dict[int, Path]:
        found = [path.parent for path in sweep.glob("*/run.json")]
        return {record(run_dir)["seed"]: run_dir for run_dir in found}

    first = fork_command("train", *command, cwd=folder)
    stopped = {seed: record(run_dir)["status"] for seed, run_dir in runs().items()}
    last = torch.load(runs()[2] / "checkpoints" / "last.ckpt", weights_only=True)
    table = statuses(sweep / "sweep.csv")
    second = fork_command("train", *command, cwd=folder)
    return Story(request.param, [first, second], runs(), stopped, int(last["global_step"]), table)


def test_the_job_and_the_sweep_end_with_the_signal_s_code(story: Story) -> None:
    first = story.processes[0]
    end = ENDS[story.how]
    if end is None:
        assert first.returncode == -signal.SIGKILL
        return
    number, code = end
    assert first.returncode == code, first.stderr
    (line,) = first.stderr.splitlines()
    assert line == f"thaw: stopped by signal {int(number)}"


def test_the_job_under_way_is_kept_after_its_step_and_no_other_begins(story: Story) -> None:
    if story.how == "kill":
        assert story.stopped == {1: "completed", 2: "running"}
        assert story.step == 4  # of the epoch before
    else:
        assert story.stopped == {1: "completed", 2: "interrupted"}
        assert story.step == STEP


def test_the_summary_is_there_as_far_as_it_got(story: Story) -> None:
    assert story.table == {str(seed): status for seed, status in story.stopped.items()}
    if story.how != "kill":
        lines = story.processes[0].stdout.splitlines()
        start = next(k for k, line in enumerate(lines) if line.startswith("overrides "))
        assert sorted(line.split()[:2] for line in lines[start + 2 : start + 4]) == [
            ["seed=1", "completed"],
            ["seed=2", "interrupted"],
        ]


def test_the_same_command_goes_on_where_it_was(story: Story) -> None:
    second = story.processes[1]
    assert second.returncode == 0, second.stderr
    assert f"finished already, not run again: {story.runs[1]}" in second.stdout
    last = story.runs[2] / "checkpoints" / "last.ckpt"
    assert second.stdout.count("continuing from") == 1
    assert f"continuing from {last}" in second.stdout
    assert second.stdout.count("epoch 1/2") == 1  # of the third job alone
    for run_dir in story.runs.values():
        assert record(run_dir)["status"] == "completed"
        with (run_dir / "metrics.csv").open(newline="") as file:
            assert [row["step"] for row in csv.DictReader(file)] == ["4", "8"]
    assert sorted(story.runs) == [1, 2, 3]
    sweep = story.runs[1].parent
    assert set(statuses(sweep / "sweep.csv").values()) == {"completed"}

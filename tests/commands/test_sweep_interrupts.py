"""A sweep that is stopped: its summary is there, and the same command finishes it."""

import csv
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from commands_support import LEAST, record

# The second of three jobs, in the middle of its second epoch of four steps.
STEP = 6
SHAPE = ["trainer.limit_train_batches=4", "trainer.max_epochs=2"]


def test_ctrl_c_stops_a_sweep_after_the_step_and_the_same_command_goes_on(
    tmp_path: Path, fork_command: Callable[..., Any]
) -> None:
    node = "+callbacks.fault"
    fault = [
        f"{node}._target_=fault_callbacks.EndOnce",
        f"{node}.marker={tmp_path}/sent",
        f"{node}.of_seed=2",
        f"{node}.step={STEP}",
        f"{node}.signal_number={int(signal.SIGINT)}",
    ]
    command = ["-m", *LEAST, *SHAPE, *fault, "seed=1,2,3", "sweep.name=study"]
    sweep = tmp_path / "multirun" / "study"

    def statuses() -> dict[int, str]:
        found = [record(path.parent) for path in sweep.glob("*/run.json")]
        return {each["seed"]: each["status"] for each in found}

    def summary() -> dict[int, str]:
        with (sweep / "sweep.csv").open(newline="") as file:
            return {int(row["seed"]): row["status"] for row in csv.DictReader(file)}

    first = fork_command("train", *command, cwd=tmp_path)
    assert (first.returncode, first.stderr) == (130, "thaw: stopped by signal 2\n")
    assert statuses() == summary() == {1: "completed", 2: "interrupted"}
    lines = [line.split()[:2] for line in first.stdout.splitlines()]
    assert ["seed=2", "interrupted"] in lines
    (second_job,) = (
        path.parent for path in sweep.glob("*/run.json") if record(path.parent)["seed"] == 2
    )
    last = second_job / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == STEP

    second = fork_command("train", *command, cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert second.stdout.count("finished already, not run again") == 1
    assert second.stdout.count("continuing from") == 1
    assert f"continuing from {last}" in second.stdout
    assert second.stdout.count("epoch 1/2") == 1  # of the third job alone
    assert statuses() == summary() == dict.fromkeys((1, 2, 3), "completed")
    for path in sweep.glob("*/metrics.csv"):
        with path.open(newline="") as file:
            assert [row["step"] for row in csv.DictReader(file)] == ["4", "8"]

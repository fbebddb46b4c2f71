"""A run that is killed and started again is the run that was never interrupted, bit for bit."""

import csv
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands_support import TINY, record
from tensorboard.backend.event_processing import event_accumulator

FAMILIES = {
    "hot": ["ema=standard", "data/augment=affine"],
    "cold": ["degradation=column_shuffled", "objective/timesteps=importance"],
}
# Six steps an epoch, three epochs, a checkpoint every four steps beside those of the epochs' ends.
SHAPE = ["trainer.limit_train_batches=6", "trainer.max_epochs=3", "checkpoint.every_n_steps=4"]
MOMENTS = {
    "before the first checkpoint": "{step:2}",
    "in the middle of an epoch, after a checkpoint there": "{step:9}",
    "in a validation": "{phase:validation,epoch:2}",
    "at an epoch's end, before its checkpoint": "{phase:epoch_end,epoch:2}",
}
QUICK = "in the middle of an epoch, after a checkpoint there"
Run = Callable[..., Any]


def train(fork_command: Run, run_dir: Path, family: str, *more: str) -> Any:
    arguments = [*TINY, *FAMILIES[family], *SHAPE, *more, f"hydra.run.dir={run_dir}"]
    return fork_command("train", *arguments, cwd=run_dir.parent)


@pytest.fixture(scope="module", params=["hot", pytest.param("cold", marks=pytest.mark.slow)])
def whole(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, fork_command: Run
) -> tuple[str, Path]:
    """A family and its run that was never interrupted."""
    run_dir = tmp_path_factory.mktemp(request.param) / "whole"
    finished = train(fork_command, run_dir, request.param)
    assert finished.returncode == 0, finished.stderr
    return request.param, run_dir


def fault(moment: str, number: int = signal.SIGKILL) -> list[str]:
    settings = moment.strip("{}").replace(":", "=").split(",")
    node = "+callbacks.fault"
    return [
        f"{node}._target_=fault_callbacks.EndAt",
        f"{node}.signal_number={number}",
        *(f"{node}.{setting}" for setting in settings),
    ]


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def scalars(run_dir: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard holds, by tag, without purging and without times of the clock."""
    events = event_accumulator.EventAccumulator(
        str(run_dir), size_guidance={"scalars": 0}, purge_orphaned_data=False
    ).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if not tag.startswith("wall_time/")
    }


def assert_same(one: Any, other: Any, where: str = "") -> None:
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for number, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, where=f"{where}[{number}]")
    else:
        assert one == other, where


def assert_same_run(run_dir: Path, whole: Path, has_events: bool = True) -> None:
    states = [
        torch.load(path / "checkpoints" / "last.ckpt", weights_only=True)
        for path in (run_dir, whole)
    ]
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step"):
        assert_same(states[0].get(key), states[1].get(key), key)
    one, other = ((path / "step_losses.f32").read_bytes() for path in (run_dir, whole))
    assert one == other
    assert len(one) == 4 * states[1]["global_step"]
    assert rows(run_dir) == rows(whole)
    assert len(rows(run_dir)) == 3
    for key in ("final_scores", "restoration", "last_epoch", "status"):
        assert record(run_dir).get(key) == record(whole).get(key)
    if has_events:
        assert scalars(run_dir) == scalars(whole)
        assert len(scalars(whole)["train/loss"]) == 3


@pytest.mark.parametrize(
    "moment",
    [
        moment if moment == QUICK else pytest.param(moment, marks=pytest.mark.slow)
        for moment in MOMENTS
    ],
    ids=MOMENTS,
)
def test_a_killed_run_ends_as_one_never_killed(
    moment: str, whole: tuple[str, Path], tmp_path: Path, fork_command: Run
) -> None:
    family, undisturbed = whole
    run_dir = tmp_path / "killed"
    killed = train(fork_command, run_dir, family, *fault(MOMENTS[moment]))
    assert killed.returncode == -signal.SIGKILL
    assert record(run_dir)["status"] == "running"
    start = time.perf_counter()
    finished = train(fork_command, run_dir, family)
    spent = time.perf_counter() - start
    assert finished.returncode == 0, finished.stderr
    epochs = re.findall(r"  epoch (\d+) s", finished.stdout)
    assert epochs
    assert max(map(int, epochs)) <= spent  # one resumed in its middle has its own time
    assert ("continuing from" in finished.stdout) == (moment != "before the first checkpoint")
    assert_same_run(run_dir, undisturbed)


@pytest.mark.parametrize(
    ("number", "step", "saved", "code"),
    # After an epoch's last step, what there was counts: that of step 8.
    [
        (signal.SIGTERM, 9, 9, 143),
        pytest.param(signal.SIGTERM, 12, 8, 143, marks=pytest.mark.slow),
    ],
    ids=["preemption", "after an epoch's last step"],
)
def test_a_signal_saves_after_the_step_and_the_run_goes_on_from_there(
    number: int,
    step: int,
    saved: int,
    code: int,
    whole: tuple[str, Path],
    tmp_path: Path,
    fork_command: Run,
) -> None:
    family, undisturbed = whole
    run_dir = tmp_path / "stopped"
    stopped = train(fork_command, run_dir, family, *fault(f"{{step:{step}}}", number))
    assert stopped.returncode == code, stopped.stderr
    assert record(run_dir)["status"] == "interrupted"
    checkpoint = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == saved
    before = record(run_dir)["training_s"]
    finished = train(fork_command, run_dir, family)
    assert finished.returncode == 0, finished.stderr
    assert record(run_dir)["training_s"] > before > 0  # of both parts
    assert_same_run(run_dir, undisturbed)

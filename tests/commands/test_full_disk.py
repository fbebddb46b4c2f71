"""A disk that fills up while a run writes: one clear line, nothing lost, and on with room again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands_support import TINY, record
from test_exact_resume import assert_same_run

Run = Callable[..., Any]
SETTINGS = [
    *TINY,
    "degradation=column_random",
    "trainer.max_epochs=3",
    "metrics.num_samples=0",
    "metrics.final_num_samples=0",
    "metrics.num_restored=0",
    "callbacks.samples.at_epochs=[]",
    "prior.num_images=5",
]
# What cannot be written, the largest file that can, and what the line says.
FILES = {
    "run.json": (700, [], "run.json could not be written: File too large"),
    "the checkpoint": (
        100_000,
        ["logger=none"],
        "last.ckpt could not be written (the one before is whole): File too large (the tr",
    ),
}


def train(fork_command: Run, run_dir: Path, *more: str) -> Any:
    arguments = [*SETTINGS, *more, f"hydra.run.dir={run_dir}"]
    return fork_command("train", *arguments, cwd=run_dir.parent)


def fault(largest: int) -> list[str]:
    node = "+callbacks.fault"
    target = f"{node}._target_=fault_callbacks.FillsUp"
    return [target, f"{node}.epoch=2", f"{node}.largest={largest}"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, fork_command: Run) -> Path:
    """A run that always had room."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    finished = train(fork_command, run_dir)
    assert finished.returncode == 0, finished.stderr
    return run_dir


def assert_ended_well(finished: Any, run_dir: Path, expected: str) -> None:
    """Exit code 1 and one line; the run failed, and its last checkpoint is what it was."""
    assert finished.returncode == 1, finished.stderr
    (line,) = finished.stderr.splitlines()
    assert line.startswith("thaw: failed: ")
    assert str(run_dir) in line
    assert expected in line
    assert record(run_dir)["status"] == "failed"
    last = run_dir / "checkpoints" / "last.ckpt"
    assert last.read_bytes() == (run_dir.parent / "before.ckpt").read_bytes()
    assert not [path for path in last.parent.iterdir() if path.name.startswith(".")]
    assert len((run_dir / "metrics.csv").read_text().splitlines()) in (2, 3)


@pytest.mark.parametrize(
    "name",
    ["the checkpoint", *(pytest.param(name, marks=pytest.mark.slow) for name in [*FILES][:-1])],
)
def test_a_file_that_cannot_be_written_ends_the_run_and_loses_nothing(
    name: str, whole: Path, tmp_path: Path, fork_command: Run
) -> None:
    largest, more, expected = FILES[name]
    run_dir = tmp_path / "run"
    failed = train(fork_command, run_dir, *more, *fault(largest))
    assert_ended_well(failed, run_dir, expected)
    finished = train(fork_command, run_dir, *more)
    assert finished.returncode == 0, finished.stderr
    assert "continuing from" in finished.stdout
    assert_same_run(run_dir, whole, has_events=not more)

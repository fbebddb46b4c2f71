"""A run whose directory is moved or removed while it trains says so and makes no new one."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands_support import LEAST, record

from thaw import runs, storage
from thaw.training.checkpoint_io import CheckpointFiles

WRITERS: dict[str, Callable[[Path], object]] = {
    "record": lambda run_dir: runs.update_record(run_dir, {"status": "completed"}),
    "checkpoint": lambda run_dir: CheckpointFiles().save_checkpoint(
        {"thaw": {}, "state_dict": {}}, run_dir / runs.LAST_CHECKPOINT
    ),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=list(WRITERS))
def test_nothing_is_written_where_a_run_was(
    write: Callable[[Path], object], tmp_path: Path
) -> None:
    run_dir = tmp_path / "outputs" / "run"
    run_dir.mkdir(parents=True)
    (run_dir / runs.LOCK).touch()
    with storage.trained_in(run_dir):
        write(run_dir)
        shutil.rmtree(tmp_path / "outputs")
        with pytest.raises(storage.GoneError, match="run is gone: it was moved or removed"):
            write(run_dir)
        run_dir.mkdir(parents=True)  # a new one of the same name
        with pytest.raises(storage.GoneError):
            write(run_dir)
    assert list(run_dir.iterdir()) == []


def test_an_error_because_of_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(storage.GoneError), storage.trained_in(tmp_path / "run"):
        (tmp_path / "run" / "events").open("ab")
    (tmp_path / runs.LOCK).touch()
    with pytest.raises(ZeroDivisionError), storage.trained_in(tmp_path):
        _ = 1 / 0


def test_a_run_ends_in_one_line(fork_command: Any, tmp_path: Path) -> None:
    run_dir = tmp_path / "outputs" / "run"
    fault = ["+callbacks.fault._target_=fault_callbacks.Moves", f"+callbacks.fault.to={tmp_path}/x"]
    ended = fork_command(
        "train", *LEAST, "trainer.max_epochs=3", *fault, f"hydra.run.dir={run_dir}", cwd=tmp_path
    )
    assert ended.returncode == 1
    line = "is gone: it was moved or removed while the run was at work"
    assert ended.stderr == f"thaw: failed: {run_dir} {line}\n"
    assert list((tmp_path / "outputs").iterdir()) == []
    # What it had until then is whole.
    assert record(tmp_path / "x")["epochs"] == 1

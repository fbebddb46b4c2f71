"""``minutes=`` plans the epochs of a run before its first step, and the plan stays the run's."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands_support import LEAST, TINY, assert_refused, record

from thaw import runs

Run = Callable[..., Any]
# Far more epochs than 0.2 minutes allow, but for the limit.
PLANNED = [*LEAST, "trainer.max_epochs=3", "minutes=0.2", "degradation=column_random"]
PLANNED += ["metrics.num_restored=0", "metrics.num_restored_each_epoch=0"]


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    contents = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    state: dict[str, torch.Tensor] = contents["state_dict"]
    return state


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory, fork_command: Run) -> Path:
    run_dir = tmp_path_factory.mktemp("planned") / "run"
    finished = fork_command("train", *PLANNED, f"hydra.run.dir={run_dir}", cwd=run_dir.parent)
    assert finished.returncode == 0, finished.stderr
    assert re.search(r"planned: 3 epochs of 2 steps, \d+ ms a step", finished.stdout)
    return run_dir


def test_measuring_changes_no_number_of_the_run(planned: Path, fork_command: Run) -> None:
    other = planned.with_name("not planned")
    given = [value for value in PLANNED if not value.startswith("minutes=")]
    given.append(f"hydra.run.dir='{other}'")
    threads = str(record(planned)["planned"]["num_threads"])
    finished = fork_command("train", *given, cwd=planned.parent, OMP_NUM_THREADS=threads)
    assert finished.returncode == 0, finished.stderr
    expected, found = weights(other), weights(planned)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_the_same_command_again_keeps_the_plan(planned: Path, fork_command: Run) -> None:
    kept = record(planned)["planned"]
    assert (kept["minutes"], kept["epochs"]) == (0.2, 3)
    assert kept["num_threads"] == record(planned)["num_threads"] >= 1
    again = fork_command("train", *PLANNED, f"hydra.run.dir={planned}", cwd=planned.parent)
    assert again.returncode == 0, again.stderr
    assert "finished already, not run again" in again.stdout


def test_other_minutes_are_refused_once_the_run_has_begun(
    planned: Path, tmp_path: Path, fork_command: Run
) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(planned, run_dir)
    runs.update_record(run_dir, {"status": "interrupted"})
    other = [*PLANNED, "minutes=0.3", f"hydra.run.dir={run_dir}"]
    refused = fork_command("train", *other, cwd=tmp_path)
    assert_refused(refused, "minutes plans a run before its first step", "resume=never")
    assert record(run_dir)["status"] == "interrupted"


def test_a_run_too_large_for_its_minutes_trains_one_epoch_and_reports(
    tmp_path: Path, run_command: Run
) -> None:
    """The real command line: its own time, from its start on, is part of the minutes."""
    run_dir = tmp_path / "run"
    given = [*TINY, "degradation=column_random", "minutes=0.001", "report=true"]
    finished = run_command("train", *given, f"hydra.run.dir={run_dir}", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert record(run_dir)["planned"]["epochs"] == record(run_dir)["epochs"] == 1
    page = (run_dir / "report" / "index.html").read_text()
    assert "Restoration" in page
    assert "What is missing" not in page
    for words in ("sample.py run=run num_samples=64", "task=restore", "tensorboard --logdir"):
        assert words in finished.stdout, words


@pytest.mark.parametrize("value", ["0", "-1", "long"])
def test_minutes_must_be_positive(value: str, tmp_path: Path, fork_command: Run) -> None:
    assert_refused(fork_command("train", *LEAST, f"minutes={value}", cwd=tmp_path), "minutes")
    assert not list(tmp_path.glob("outputs/*/*/checkpoints"))

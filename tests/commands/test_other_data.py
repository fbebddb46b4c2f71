"""A run that goes on, or is left as it is, where its data or its files have changed meanwhile."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands_support import LEAST, record
from PIL import Image

Run = Callable[..., Any]
COMMAND = [
    "-m",
    *LEAST,
    "data=image_folder",
    "metrics=none",
    "data.root=pictures",
    "data.batch_size=8",
    "seed=0",
    "sweep.name=study",
    "hydra.job.chdir=true",
]


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def in_folder(fork_command: Run) -> Run:
    """``in_folder(folder, "train", ...)``: the finished command, its cache in the folder too."""

    def run(folder: Path, command: str, *arguments: str) -> Any:
        cache = str(folder / "cache")
        return fork_command(command, *arguments, cwd=folder, XDG_CACHE_HOME=cache)

    return run


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, in_folder: Run) -> Path:
    """A folder with pictures and a named sweep of one finished run, paths as they were typed."""
    folder = tmp_path_factory.mktemp("original")
    for number in range(24):
        picture(
            folder / "pictures" / "train" / ("cat", "dog")[number % 2] / f"{number}.png", number
        )
    picture(folder / "pictures" / "test" / "cat" / "a.png", 100)
    finished = in_folder(folder, "train", *COMMAND)
    assert finished.returncode == 0, finished.stderr
    assert "24 training images in train/" in finished.stdout
    assert "0 is cat (12 + 1), 1 is dog (12 + 0)" in finished.stdout
    assert [path.parent.name for path in folder.rglob("sweep.csv")] == ["study"]
    return folder


@pytest.fixture
def study(original: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of it, and the run in it."""
    folder = tmp_path / "copy"
    shutil.copytree(original, folder)
    (path,) = folder.rglob("run.json")
    path.write_text(path.read_text().replace(str(original), str(folder)))
    return folder, path.parent


def test_classes_are_stored_in_the_record_and_the_checkpoint(study: tuple[Path, Path]) -> None:
    _, run_dir = study
    contents = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    assert record(run_dir)["dataset"] == contents["thaw"]["dataset"]
    assert record(run_dir)["dataset"]["classes"] == ["cat", "dog"]


def test_going_on_with_other_images_is_said_and_both_are_recorded(
    study: tuple[Path, Path], in_folder: Run
) -> None:
    """The record, the overrides and the rows are as a spreadsheet and an editor leave them."""
    folder, run_dir = study
    before = record(run_dir)
    first_row = (run_dir / "metrics.csv").read_text().splitlines()[1]
    picture(folder / "pictures" / "train" / "cat" / "new.png", 200)
    metrics = (run_dir / "metrics.csv").read_text().replace(",", ";").replace(".", ",")
    (run_dir / "metrics.csv").write_text(metrics, encoding="utf-8-sig", newline="\r\n")
    older = before | {"versions": before["versions"] | {"torch": "0.1"}}
    (run_dir / "run.json").write_text(json.dumps(older))
    for name in ("run.json", ".hydra/overrides.yaml"):
        (run_dir / name).write_text((run_dir / name).read_text(), encoding="utf-8-sig")
    finished = in_folder(folder, "train", f"resume={run_dir}", "trainer.max_epochs=2")
    assert finished.returncode == 0, finished.stderr
    versions, warning, start = (line for line in finished.stdout.splitlines() if "WARNING" in line)
    assert "prior=normal, but x_T keeps" in start  # of ten steps
    assert f"other versions than in {run_dir}: torch 0.1 (now " in versions
    after = record(run_dir)
    assert "going on from last.ckpt with other data" in warning
    for each in (before, after):
        assert each["dataset"]["checksum"] in warning
    assert after["dataset"]["earlier"] == [before["dataset"] | {"epochs": 1}]
    contents = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    assert contents["thaw"]["dataset"] == after["dataset"]
    lines = (run_dir / "metrics.csv").read_text().splitlines()
    assert lines[0].startswith("epoch,step,train/loss")
    assert lines[1] == first_row
    assert len(lines) == 3


def test_a_finished_job_of_other_images_is_left_with_a_warning(
    study: tuple[Path, Path], in_folder: Run
) -> None:
    folder, run_dir = study
    before = (run_dir / "run.json").read_bytes()
    picture(folder / "pictures" / "test" / "cat" / "new.png", 200)
    finished = in_folder(folder, "train", *COMMAND)
    assert finished.returncode == 0, finished.stderr
    (warning,) = (line for line in finished.stdout.splitlines() if "other data" in line)
    assert f"WARNING other data than in {run_dir}: " in warning
    assert (run_dir / "run.json").read_bytes() == before


def test_other_classes_are_refused_and_the_run_stays_completed(
    study: tuple[Path, Path], in_folder: Run
) -> None:
    folder, run_dir = study
    files = [path for path in run_dir.rglob("*") if path.is_file() and path.suffix != ".log"]
    kept = {path: path.read_bytes() for path in files}
    train, test = (folder / "pictures" / split for split in ("train", "test"))
    (train / "cat").rename(train / "emu")
    (test / "cat").rename(test / "emu")
    for arguments in (COMMAND, [f"resume={run_dir}", "trainer.max_epochs=2"]):
        refused = in_folder(folder, "train", *arguments)
        assert refused.returncode == 2
        line = refused.stderr.splitlines()[-1]
        assert "trained on other classes: 0 was cat, is dog, 1 was dog, is emu" in line
        assert "resume=never" in line
    assert {path: path.read_bytes() for path in kept} == kept
    arguments = ("task=restore", "num_samples=1", "animation=null", f"data.root={train.parent}")
    sampled = in_folder(folder, "sample", f"run={run_dir}", *arguments)
    assert sampled.returncode == 0, sampled.stderr
    (warning,) = (line for line in sampled.stdout.splitlines() if "other data" in line)
    assert "last.ckpt" in warning
    assert "0 was cat, is dog" in warning


def test_rows_that_are_damaged_are_named_before_anything_is_touched(
    study: tuple[Path, Path], in_folder: Run
) -> None:
    folder, run_dir = study
    (run_dir / "metrics.csv").write_text("epoch,step,train/loss\none,2,0.5\n")
    before = (run_dir / "run.json").read_bytes()
    refused = in_folder(folder, "train", f"resume={run_dir}", "trainer.max_epochs=2")
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert f"{run_dir}/metrics.csv is damaged" in line
    assert "'one'" in line
    assert (run_dir / "run.json").read_bytes() == before
    assert json.loads(before)["status"] == "completed"

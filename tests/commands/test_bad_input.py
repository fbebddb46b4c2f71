"""Nonsense through the real command line: one clear line, exit code 2, no run, no traceback."""

from pathlib import Path

import numpy as np
import pytest
from commands_support import TINY, record
from PIL import Image

ONE_STEP = ["trainer.max_steps=1", "metrics=none", "callbacks=default", "callbacks.samples=null"]


def refused(finished, *words: str) -> str:
    """The one line of a command that refused what it was given."""
    assert finished.returncode == 2, (finished.returncode, finished.stderr)
    (line,) = finished.stderr.splitlines()
    assert line.startswith("thaw: ")
    for word in words:
        assert word in line, (word, line)
    return line


@pytest.mark.parametrize(
    ("argument", "word"),
    [
        ("optimizer.lr=${nowhere}", "nowhere"),
        ("optimizer.lr=-1", "optimizer: Invalid learning rate: -1"),
        ("lr_scheduler=1", "lr_scheduler"),
        ("seed=" + "9" * 5000, "seed=9999"),
        ("model.hidden=[1000000,1000000]", "model: "),
        ("trainer.max_epochs=0", "trainer.max_epochs must be"),
        ("name=\udcff\udcfe", "udcff"),
        ("callbacks.samples=5", "callbacks.samples"),
        ("trainer.val_check_interval=100000", "val_check_interval"),
        ("metrics.num_samples=many", "metrics.num_samples must be"),
        ("optimizer.lr={", "optimizer.lr"),
        ("++model.hidden.sub=1", "no configuration can be made of this"),
    ],
    ids=["interpolation", "torch's own", "group of a number", "digits", "weights", "no epochs",
         "no UTF-8", "number for a callback", "Lightning's own", "word for a number", "no value",
         "key of a list"],
)  # fmt: skip
def test_nonsense_is_one_line(argument: str, word: str, fork_command, tmp_path: Path) -> None:
    extra = [] if argument.startswith("model.") else TINY
    arguments = [*extra, "degradation=column_random", argument]
    line = refused(fork_command("train", *arguments, cwd=tmp_path), word)
    assert "first step" not in line
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_trainer_that_cannot_be_is_refused_before_data_is_read(
    fork_command, tmp_path: Path
) -> None:
    arguments = ["data.root=nowhere", "metrics=none", "trainer.accelerator=meta"]
    refused(fork_command("train", *arguments, cwd=tmp_path), "trainer", "invalid accelerator")


def test_a_directory_that_cannot_be_is_refused(fork_command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for directory in ("file/run", "/".join(["x" * 300] * 2)):
        refused(fork_command("train", *TINY, f"hydra.run.dir={directory}", cwd=tmp_path), directory)


EXPERIMENTS = {
    "nested": ("objective:\n  timesteps:\n    hystory: 3", "objective.timesteps.hystory"),
    "choice": ("defaults:\n  - override /model: cnnn", "cnnn"),
    "no YAML": ("optimizer: {lr: [", "line"),
    "a list": ("- seed: 3", "mine"),
    "no text": ('name: "\udcff"', "codec can't decode byte 0xff"),
}


@pytest.mark.parametrize("kind", EXPERIMENTS)
def test_a_typo_in_an_experiment_is_caught(kind: str, fork_command, tmp_path: Path) -> None:
    text, word = EXPERIMENTS[kind]
    (tmp_path / "experiment").mkdir()
    contents = f"# @package _global_\n{text}\n".encode(errors="surrogateescape")
    (tmp_path / "experiment" / "mine.yaml").write_bytes(contents)
    search = f"hydra.searchpath=[file://{tmp_path}]"
    finished = fork_command("train", *TINY, search, "experiment=mine", cwd=tmp_path)
    refused(finished, word)


def paint(folder: Path) -> None:
    draw = np.random.default_rng(0)
    for number in range(20):
        folder.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(draw.integers(0, 256, (32, 32, 3), np.uint8))
        image.save(folder / f"{number}.png")


def test_a_folder_of_any_name_is_trained_on_and_a_broken_image_in_it_named(
    fork_command, tmp_path: Path
) -> None:
    folder = tmp_path / 'it\'s a "folder",\nof [x=y] {z} ünïcödé \\'
    paint(folder)
    small = [option for option in TINY if not option.startswith("data=")]
    choices = ["data=image_folder", f"data.root={folder}", "data.batch_size=4", *ONE_STEP]
    variables = {"XDG_CACHE_HOME": str(tmp_path / "cache")}

    def train() -> object:
        arguments = [*small, *choices, "hydra.run.dir=run"]
        return fork_command("train", *arguments, cwd=tmp_path, **variables)

    finished = train()
    assert finished.returncode == 0, finished.stderr
    assert record(tmp_path / "run")["status"] == "completed"
    path = folder / "7.png"
    path.write_bytes(path.read_bytes()[:200])
    (tmp_path / "run" / "run.json").unlink()
    for checkpoint in (tmp_path / "run" / "checkpoints").iterdir():
        checkpoint.unlink()
    refused(train(), "7.png", "is not an image that can be read")


def test_data_that_is_a_file_is_refused(fork_command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused(fork_command("train", "data.root=file", cwd=tmp_path), "data.root", "is a file")

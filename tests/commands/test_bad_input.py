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
        ("seed=" + "9" * 5000, "seed=9999"),
        ("model.hidden=[1000000,1000000]", "model: "),
        ("name=\udcff\udcfe", "udcff"),
        ("trainer.val_check_interval=100000", "val_check_interval"),
        ("metrics.num_samples=many", "metrics.num_samples must be"),
        ("++model.hidden.sub=1", "no configuration can be made of this"),
        ("degradation.group_size=5", "1, 2, 4, 7, 14, 28"),
        ("sampler=ddim", "sampler=cold"),
        ("degradation=unknown", "column_random"),
        ("resume=no_such_directory", "no_such_directory"),
    ],
    ids=["interpolation", "torch's own", "digits", "weights", "no UTF-8", "Lightning's own",
         "word for a number", "key of a list", "two that do not fit", "another's sampler",
         "no choice", "no run"],
)  # fmt: skip
def test_nonsense_is_one_line(argument: str, word: str, fork_command, tmp_path: Path) -> None:
    extra = [] if argument.startswith("model.") else TINY
    arguments = [*extra, "degradation=column_random", argument]
    line = refused(fork_command("train", *arguments, cwd=tmp_path), word)
    assert "first step" not in line
    assert not list(tmp_path.rglob("*.ckpt"))


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

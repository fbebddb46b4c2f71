"""``thaw import``: a model of the study's starter is then a run to every other command."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands_support import assert_refused, record
from starter_files import starter_forward, starter_schedule, starter_state, write_starter

from thaw.commands import start
from thaw.training.loading import load_run

Run = Callable[..., Any]
STATE = starter_state()
ORDER = torch.randperm(28, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def folder(fork_command: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two imported models: ``hot``, T = 10, and ``cold``, its rows averaged."""
    folder = tmp_path_factory.mktemp("imported")
    for name, more, arguments in (
        ("hot", starter_schedule(10, last=0.6), ["activation=selu"]),
        ("cold", {"rows_t": ORDER}, ["prior=gmm", "prior.components=2"]),
    ):
        write_starter(folder / f"{name}, lr=1.pth", STATE | more)
        finished = fork_command(
            "import_weights",
            f"{name}, lr=1.pth", f"out={name}", "data=mnist_5k", *arguments,
            cwd=folder,
        )  # fmt: skip
        assert finished.returncode == 0, finished.stderr
    return folder


def test_they_are_runs_of_the_original_networks(folder: Path) -> None:
    x, t = torch.randn(2, 1, 28, 28), torch.tensor([1, 9])
    for name, act in (("hot", torch.selu), ("cold", torch.nn.functional.gelu)):
        run = load_run(folder / name)
        restorer = run.experiment.restorer
        num_steps = restorer.degradation.num_steps
        with torch.no_grad():
            expected = starter_forward(STATE, x, t / num_steps, act)
            torch.testing.assert_close(restorer.predict(x, t), expected, rtol=0, atol=1e-6)
        found = record(folder / name)
        assert found["imported"]["file"] == f"{name}, lr=1.pth"
        assert len(found["imported"]["sha256"]) == 64
        assert found["status"] == "completed"
    step_of_line = run.experiment.restorer.degradation.step_of_line
    assert torch.equal(step_of_line.argsort(), ORDER)
    assert run.experiment.module.prior.describe() == "gmm, 2 components"
    assert record(folder / "hot")["choices"]["schedule"] == "table"


def test_every_command_takes_them(folder: Path, fork_command: Run) -> None:
    few = ["num_samples=20", "num_restored=10"]
    for command, *arguments in (
        ("sample", "run=hot", "num_samples=4"),
        ("sample", "run=cold", "task=restore", "num_samples=4"),
        ("evaluate", "run=cold", *few),
        ("report", "runs=[hot,cold]", "out=page"),
        ("export", "run=cold", "out=again", *few),
    ):
        finished = fork_command(command, *arguments, cwd=folder)
        assert finished.returncode == 0, finished.stderr
    assert "hot" in (folder / "page" / "index.html").read_text()
    assert (folder / "outputs/zoo/hot/generated/seed_0/grid.png").is_file()
    card = (folder / "again" / "README.md").read_text()
    assert "imported from cold, lr=1.pth" in card
    assert f"FID {record(folder / 'again')['final_scores']['final/fid']:.2f}" in card


def test_what_is_wrong_is_one_line(folder: Path, fork_command: Run, tmp_path: Path) -> None:
    file = str(folder / "cold, lr=1.pth")
    torch.save(STATE | {"rows_t": torch.randperm(14)}, tmp_path / "half.pth")
    for arguments, words in (
        (["out=x"], "file=FILE says what is imported"),
        ([file], "out=FOLDER says where to"),
        (["nothing.pth", "out=x"], "file=nothing.pth: no such file"),
        ([".", "out=x"], "file=.: a folder"),
        ([file, "out=x", "activation=none"], "model.activation must be one of"),
        ([file, "out=x", "data=photographs"], "is for images of 1 x 28 x 28, data has 3 x"),
        (["half.pth", "out=x"], "order must name each of 28 lines"),
        ([file, "out=x", "model=unet"], "import_weights.py takes choices of data"),
    ):
        finished = fork_command("import_weights", *arguments, cwd=tmp_path)
        assert_refused(finished, words)
    assert not (tmp_path / "x").exists()


def test_it_is_thaw_import(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(start, "run", lambda command: called.append((command, sys.argv[1:])))
    monkeypatch.setattr(sys, "argv", ["thaw", "import", "x.pth", "out=y"])
    start.main()
    assert called == [("import_weights", ["x.pth", "out=y"])]
    assert "  import " in start.USAGE

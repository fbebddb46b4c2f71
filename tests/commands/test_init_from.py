"""``init_from=``: a training starts from other weights once, and then goes on with its own."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands_support import LEAST, assert_refused, record

from thaw import runs
from thaw.training.initial import read_initial

Run = Callable[..., Any]
# So small that the weights hardly move.
SLOW = [*LEAST, "degradation=column_random", "optimizer.lr=1e-6"]


def network_of(run_dir: Path) -> dict[str, torch.Tensor]:
    return dict(read_initial(run_dir).tensors)


@pytest.fixture(scope="module")
def first(fork_command: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first")
    finished = fork_command("train", *LEAST, "seed=7", f"hydra.run.dir={folder / 'a run'}",
                            cwd=folder)  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    return folder / "a run"


def test_a_run_starts_from_another_and_is_resumed_without_it(
    first: Path, fork_command: Run, tmp_path: Path
) -> None:
    """Another degradation and a class more; then the first run is gone."""
    source = shutil.copytree(first, tmp_path / "a run")
    arguments = [*SLOW, "init_from=a run", "model.num_classes=10", "hydra.run.dir=second"]
    finished = fork_command("train", *arguments, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    log = (tmp_path / "second" / "train.log").read_text()
    assert "init_from   a run/checkpoints/last.ckpt of epoch 1: " in log
    assert "new here: label_embedding.weight; left out: none" in log
    found = record(tmp_path / "second")
    assert found["config"]["init_from"] == "a run"
    assert found["init_from"]["new"] == ["label_embedding.weight"]
    before, after = network_of(first), network_of(tmp_path / "second")
    for name in before:
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-4)
    shutil.rmtree(source)
    resumed = fork_command("train", "resume=second", "trainer.max_epochs=2", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "init_from " not in resumed.stdout
    assert record(tmp_path / "second")["epochs"] == 2
    assert record(tmp_path / "second")["init_from"] == found["init_from"]


def test_what_it_cannot_start_from_is_refused_before_any_work(
    first: Path, fork_command: Run, tmp_path: Path
) -> None:
    finished = fork_command("train", *LEAST, "init_from=nothing", cwd=tmp_path)
    assert_refused(finished, "init_from=nothing: no such file or directory")
    other = [each for each in LEAST if not each.startswith("model.")]
    another = [*other, "model=diffusers_unet", "model.width=8", f"init_from={first}"]
    finished = fork_command("train", *another, cwd=tmp_path)
    assert_refused(finished, "none of its tensors", "fits this network, a DiffusersUNet")
    of_sweep = fork_command("train", "-m", *LEAST, "seed=1,2", "init_from=nothing", cwd=tmp_path)
    assert_refused(of_sweep, "init_from=nothing: no such file", "no job was run")
    assert not list(tmp_path.rglob(runs.METRICS))

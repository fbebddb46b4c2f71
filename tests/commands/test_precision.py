"""trainer.precision: whatever it takes works in every command, or is refused before training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands_support import LEAST, TINY, record

from thaw.training.loading import load_run

Run = Callable[..., Any]
# What has a state of its own beside the network's.
DOUBLE = [
    "trainer.precision=64-true",
    "ema=standard",
    "objective/timesteps=importance",
    "objective.timesteps.history=1",
]


def state(run_dir: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(
        run_dir / "checkpoints" / "last.ckpt", weights_only=True
    )["state_dict"]
    return found


@pytest.fixture(scope="module")
def double_run(fork_command: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs of double precision, with every score, grid and restoration."""
    run_dir = tmp_path_factory.mktemp("double") / "run"
    arguments = [*TINY, *DOUBLE, "degradation=column_noise", "degradation.num_steps=6", "prior=gmm",
                 "prior.num_images=200", "prior.components=2", "trainer.max_epochs=2"]  # fmt: skip
    finished = fork_command("train", *arguments, f"hydra.run.dir={run_dir}", cwd=run_dir.parent)
    assert finished.returncode == 0, finished.stderr
    return run_dir


def test_a_run_of_double_precision_has_all_that_others_have(double_run: Path) -> None:
    network = {
        name: tensor.dtype
        for name, tensor in state(double_run).items()
        if ".network." in name and tensor.is_floating_point()
    }
    assert {name.split(".")[0] for name in network} == {"restorer", "ema"}
    assert set(network.values()) == {torch.float64}
    run = record(double_run)
    assert run["status"] == "completed"
    assert run["final_scores"]["final/n"] == 30
    assert run["restoration"]["direct"]["psnr"] > 0
    assert run["last_epoch"]["val/fid"] > 0
    assert run["last_epoch"]["val/psnr_direct"] > 0
    assert (double_run / "samples" / "epoch_0001.png").is_file()


def test_its_weights_are_loaded_and_scored_without_rounding(
    double_run: Path, tmp_path: Path, fork_command: Run
) -> None:
    loaded, stored = load_run(double_run).experiment.module.state_dict(), state(double_run)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in stored.items())
    assert loaded["restorer.network.last.weight"].dtype == torch.float64
    arguments = ["num_samples=30", "num_restored=20", "sampler.num_steps=6"]
    finished = fork_command("evaluate", f"run={double_run}", *arguments, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    (path,) = double_run.glob("evaluations/*.json")
    scores = json.loads(path.read_text())
    # The same draws as after training, by the same weights.
    assert scores["generated"]["fid"] == record(double_run)["final_scores"]["final/fid"]
    assert scores["restored"]["direct"] == record(double_run)["restoration"]["direct"]


def test_what_would_fail_later_is_refused_before_training(
    tmp_path: Path, fork_command: Run
) -> None:
    arguments = [*LEAST, "trainer.precision=16-true", "hydra.run.dir=run"]
    finished = fork_command("train", *arguments, cwd=tmp_path)
    assert finished.returncode == 2, finished.stderr
    assert "trainer.precision" in finished.stderr
    assert "must be one of 32-true, 64-true, 16-mixed, bf16-mixed" in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert not (tmp_path / "run" / "checkpoints").exists()

"""ema=standard through the real command line: both kinds of weights, resume, evaluation."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from commands_support import TINY, assert_refused, record

SCORES = ("fid", "is_mean", "kid", "class_kl")


def weights(run_dir: Path) -> dict[str, Any]:
    path = run_dir / "checkpoints" / "last.ckpt"
    state: dict[str, Any] = torch.load(path, weights_only=True)["state_dict"]
    return state


def metrics(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def evaluated(run_dir: Path, name: str) -> dict[str, Any]:
    (path,) = run_dir.glob(f"evaluations/{name}.json")
    contents: dict[str, Any] = json.loads(path.read_text())
    return contents


def test_the_average_is_kept_resumed_scored_and_sampled(
    cold_run: Path, tmp_path: Path, fork_command
) -> None:
    base = [*TINY, "degradation=column_random", "ema=standard"]

    def command(name: str, *arguments: str, code: int = 0) -> str:
        finished = fork_command(name, *arguments, cwd=tmp_path)
        assert finished.returncode == code, finished.stderr
        assert "Traceback" not in finished.stdout + finished.stderr
        return finished.stdout + finished.stderr

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    command("train", *base, "trainer.max_epochs=2", f"hydra.run.dir={whole}")
    command("train", *base, "trainer.max_epochs=1", f"hydra.run.dir={parts}")
    command("train", f"resume={parts}", "trainer.max_epochs=2")

    # Resumed bit for bit, the average and its count included; the raw weights are those of a run
    # without one.
    state, resumed, plain = weights(whole), weights(parts), weights(cold_run)
    assert metrics(parts) == metrics(whole)
    assert state.keys() == resumed.keys()
    for name, value in state.items():
        assert torch.equal(resumed[name], value), name
    assert int(state["ema._extra_state"]) == 8
    assert sum(name.startswith("ema.average.network.") for name in state) > 0
    for name, value in plain.items():
        assert torch.equal(state[name], value), name
    raw, average = (state[f"{kind}.network.last.weight"] for kind in ("restorer", "ema.average"))
    assert not torch.equal(raw, average)

    # Scores and val/loss in training are of the average, train/loss is not.
    for ours, others in zip(metrics(whole), metrics(cold_run), strict=True):
        assert ours["train/loss"] == others["train/loss"]
        assert ours["val/loss"] != others["val/loss"]
        assert ours["val/fid"] != others["val/fid"]

    # evaluate.py repeats the final scores of the run, and weights=raw those of the run without.
    arguments = [f"run={whole}", "num_samples=30", "num_restored=20"]
    assert "ema weights" in command("evaluate", *arguments)
    command("evaluate", *arguments, "weights=raw")
    for kind, name, run_dir in (("ema", "last_ema_*", whole), ("raw", "last_[!e]*", cold_run)):
        result, run = evaluated(whole, name), record(run_dir)
        assert result["weights"] == kind
        for score in SCORES:
            expected = run["final_scores"][f"final/{score}"]
            assert result["generated"][score] == pytest.approx(expected, rel=1e-6)
        for stage in ("direct", "algorithm_2"):
            expected = run["restoration"][stage]["rmse"]
            assert result["restored"][stage]["rmse"] == pytest.approx(expected, rel=1e-6)
    assert record(whole)["final_scores"] != record(cold_run)["final_scores"]

    line = command("train", f"resume={parts}", "ema=none", "trainer.max_epochs=3", code=2)
    assert "of another model: ema" in line


def test_weights_that_are_not_there_are_one_line(
    cold_run: Path, tmp_path: Path, fork_command
) -> None:
    finished = fork_command("sample", "weights=ema", f"run={cold_run}", cwd=tmp_path)
    assert_refused(finished, "has no average of the weights")

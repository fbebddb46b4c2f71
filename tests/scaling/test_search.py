"""Searches over hyperparameters, what they make smallest, and what is not installed."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf
from scaling_support import SHORT, arguments, rows

from thaw.commands import jobs
from thaw.commands.errors import InputError
from thaw.commands.search import check_metric, result
from thaw.commands.sweep_check import check_search

Train = Callable[..., Any]


def test_optuna_finds_the_smallest_score_and_gets_over_a_failed_run(
    train: Train, tmp_path: Path
) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs thaw-diffusion[optuna]")
    finished = train(
        "-m", *arguments(SHORT), "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3",
        "sweep.metric=val/fid", "optimizer.lr=choice(-1,0.01)", "sweep.name=search",
        "hydra.sweeper.storage=sqlite:///search.db", cwd=tmp_path,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    sweep = tmp_path / "multirun" / "search"
    scores = {row["overrides"]: row["val/fid"] for row in rows(sweep / "sweep.csv")}
    statuses = [row["status"] for row in rows(sweep / "sweep.csv")]
    assert "failed" in statuses
    assert "completed" in statuses
    best = yaml.safe_load((sweep / "optimization_results.yaml").read_text())
    found = {name: fid for name, fid in scores.items() if fid != ""}
    smallest = min(found, key=lambda name: found[name])
    assert best["best_value"] == pytest.approx(found[smallest])
    assert f"optimizer.lr={best['best_params']['optimizer.lr']}" in smallest


@pytest.mark.slow
def test_a_search_whose_trials_are_all_refused_says_why(train: Train, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs thaw-diffusion[optuna]")
    ended = train(
        "-m", *arguments(SHORT), "hydra/sweeper=optuna", "hydra.sweeper.n_trials=2",
        "sweep.metric=val/fid", "optimizer.lr=choice(-1,-2)", cwd=tmp_path,
    )  # fmt: skip
    assert ended.returncode == 2, ended.stderr
    line = ended.stderr.splitlines()[-1]
    assert re.match(r"thaw: optimizer: Invalid learning rate: -[12] \(the first of 2 ", line)
    assert "Traceback" not in ended.stderr
    assert ended.stdout.count("  failed  optimizer: Invalid learning rate") == 2


def cfg(metric: str | None, **metrics: Any) -> Any:
    known = {"suite": "scores", "num_samples": 10, "final_num_samples": 10} | metrics
    return OmegaConf.create({"sweep": {"metric": metric}, "metrics": known})


def test_a_score_that_the_runs_would_not_have_is_refused() -> None:
    for metric in (None, "train/loss", "val/loss", "val/fid", "final/kid"):
        check_metric(cfg(metric))
    for wrong in (
        cfg("fid"),
        cfg("val/psnr_direct"),
        cfg("val/fid", num_samples=0),
        cfg("final/fid", suite=None),
    ):
        with pytest.raises(ValueError, match="sweep.metric must be a score"):
            check_metric(wrong)
    search = OmegaConf.create({"hydra": {"sweeper": {"_target_": "optuna"}}})
    with pytest.raises(InputError, match="a search needs a score to make smallest"):
        check_search(search)


def test_scores_of_restorations_and_of_own_callbacks_are_taken() -> None:
    check_metric(cfg("val/psnr_direct", suite=None), ["degraded", "direct"])
    with pytest.raises(ValueError, match="train/loss, val/loss, val/fid, val/psnr_degraded, final"):
        check_metric(cfg("val/psnr_sampled"), ["degraded", "direct"])
    own = {"callbacks": {"own": {"_target_": "mine.Own"}}}
    check_metric(OmegaConf.merge(cfg("val/mine"), own))


def test_the_result_is_read_from_the_record(tmp_path: Path) -> None:
    scores = '{"last_epoch": {"val/fid": 3.5}, "final_scores": {"final/fid": 2, "final/n": null}}'
    (tmp_path / "run.json").write_text(scores)
    values = [result(cfg(metric), tmp_path) for metric in (None, "val/fid", "final/fid")]
    assert values == [None, 3.5, 2.0]
    with pytest.raises(InputError, match="final/n: .* has only final/fid, val/fid"):
        result(cfg("final/n"), tmp_path)
    (tmp_path / "run.json").write_text('{"status": "failed", "error": "no disk"}')
    with pytest.raises(InputError, match="^no disk$"):  # before, and it is not run again
        result(cfg("val/fid"), tmp_path)


@pytest.mark.parametrize("package", list(jobs.EXTRAS))
def test_what_is_not_installed_is_said_with_the_way_to_install_it(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    node = OmegaConf.create({"_target_": f"hydra_plugins.{package}.launcher.Launcher"})
    basic = OmegaConf.create({"_target_": "hydra._internal.core_plugins.basic_sweeper.Basic"})
    jobs.check_plugins(OmegaConf.create({"launcher": basic, "sweeper": basic}))
    monkeypatch.setattr(jobs, "importlib", SimpleNamespace(import_module=absent))
    with pytest.raises(
        InputError, match=rf"not installed: pip install -e '\.\[{jobs.EXTRAS[package]}\]'"
    ):
        jobs.check_plugins(OmegaConf.create({"launcher": node, "sweeper": basic}))

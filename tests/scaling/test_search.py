"""Searches over hyperparameters, what they make smallest, and what is not installed."""

import re
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from commands_support import LEAST, record
from omegaconf import OmegaConf
from scaling_support import SHORT, arguments, rows

from thaw.commands import jobs
from thaw.commands.errors import InputError
from thaw.commands.search import check_metric, result
from thaw.commands.sweep_check import check_search
from thaw.reporting.finished import read_run

Train = Callable[..., Any]


def test_optuna_finds_the_smallest_score_and_gets_over_a_failed_run(
    train: Train, tmp_path: Path
) -> None:
    pytest.importorskip("optuna", minversion="4.9", reason="needs thaw-diffusion[optuna]")
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


def test_a_search_prunes_what_is_worse_and_the_record_says_so(train: Train, tmp_path: Path) -> None:
    pytest.importorskip("optuna", minversion="4.9", reason="needs thaw-diffusion[optuna]")
    command = [
        "-m", *LEAST, "trainer.max_epochs=2", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=5",
        "hydra.sweeper.pruner={_target_:optuna.pruners.MedianPruner,n_startup_trials:1}",
        "sweep.metric=val/loss", "optimizer.lr=choice(1e-2,1e-9)", "sweep.name=search",
        "hydra.sweeper.sampler.seed=6",  # draws 1e-2 first, and both of them twice
    ]  # fmt: skip
    finished = train(*command, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    sweep = tmp_path / "multirun" / "search"
    found = {lr_of(row): row for row in rows(sweep / "sweep.csv")}
    reason = "pruning (val/loss) after epoch 1 of 2, step 2"
    assert [found[lr]["ended_by"] for lr in ("0.01", "1e-09")] == ["", reason]
    assert {row["status"] for row in found.values()} == {"completed"}
    assert f"completed  {found['1e-09']['train/loss']:.4g}" in finished.stdout
    assert re.search(rf"lr=1e-09 .* {re.escape(reason)}", finished.stdout)
    (pruned,) = (path.parent for path in sweep.glob("*/run.json") if "1e-09" in str(path))
    assert f"training ended by {reason}" in read_run(pruned).problems
    values = yaml.safe_load((sweep / "optimization_results.yaml").read_text())
    assert values["best_params"] == {"optimizer.lr": 0.01}
    assert finished.stdout.count("finished already") == 3
    # Outside its search it goes on to its end.
    resumed = train(f"resume={pruned}", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert [record(pruned)[key] for key in ("ended_by", "epochs")] == [None, 2]


def lr_of(row: dict[str, Any]) -> str:
    return next(each[13:] for each in row["overrides"].split() if each.startswith("optimizer.lr="))


@pytest.mark.slow
def test_a_search_of_several_processes_is_stopped_and_goes_on(train: Train, tmp_path: Path) -> None:
    pytest.importorskip("optuna", minversion="4.9", reason="needs thaw-diffusion[optuna]")
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs the extra joblib")
    fault = {
        "_target_": "fault_callbacks.EndOnce", "marker": tmp_path / "sent", "of_seed": 0, "step": 3,
        "signal_number": int(signal.SIGTERM),
    }  # fmt: skip
    command = [
        "-m", *LEAST, "trainer.max_epochs=2", "sweep.metric=val/loss", "sweep.name=search",
        "hydra/launcher=joblib", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3",
        "hydra.sweeper.n_jobs=2", "hydra.sweeper.pruner=median",
        "optimizer.lr=interval(1e-4,1e-2)",
        *(f"+callbacks.fault.{key}={value}" for key, value in fault.items()),
    ]  # fmt: skip
    stopped = train(*command, cwd=tmp_path)
    assert stopped.returncode == 143, stopped.stderr
    sweep = tmp_path / "multirun" / "search"
    assert "interrupted" in {row["status"] for row in rows(sweep / "sweep.csv")}
    finished = train(*command, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert len(list(sweep.glob("*/run.json"))) == 3
    assert {row["status"] for row in rows(sweep / "sweep.csv")} == {"completed"}
    for path in sweep.glob("*/train.log"):
        assert path.read_text().count("epoch 1/2") == 1


@pytest.mark.slow
def test_a_search_whose_trials_are_all_refused_says_why(train: Train, tmp_path: Path) -> None:
    pytest.importorskip("optuna", minversion="4.9", reason="needs thaw-diffusion[optuna]")
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


WRONG = [
    ({"pruner": "mean"}, "pruner must be one of median, successive_halving, hyperband, null"),
    ({"pruner": "median", "metric": "final/fid"}, "pruner needs a score of each epoch"),
    ({"n_trials": 0}, r"hydra\.sweeper\.n_trials must be a whole number of at least 1, got 0"),
    ({"n_jobs": 1.5}, "n_jobs must be"),
    ({"max_failure_rate": 2}, "max_failure_rate must be a number from 0 to 1, got 2"),
    ({"direction": "down"}, "direction must be one of minimize, maximize, got 'down'"),
]


@pytest.mark.parametrize(("keys", "message"), WRONG)
def test_a_wrong_key_of_a_search_is_refused(keys: dict[str, Any], message: str) -> None:
    sweeper = OmegaConf.load(jobs.config.CONF / "hydra" / "sweeper" / "optuna.yaml")
    metric = keys.pop("metric", "val/fid")
    config = {"sweep": {"metric": metric}, "hydra": {"sweeper": sweeper}}
    check_search(OmegaConf.create(config))
    with pytest.raises(ValueError, match=message):
        check_search(OmegaConf.merge(config, {"hydra": {"sweeper": keys}}))


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
        InputError, match=rf"not installed: pip install -e '\.\[{jobs.EXTRAS[package][1]}\]'"
    ):
        jobs.check_plugins(OmegaConf.create({"launcher": node, "sweeper": basic}))

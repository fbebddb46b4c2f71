"""``logger=`` on the command line: what each keeps without a network, and resume goes on in it."""

import csv
import json
import signal
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands_support import TINY, assert_refused, record
from hydra import compose, initialize_config_dir
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from thaw.commands import config
from thaw.groups import CONF
from thaw.reporting.finished import read_run

Run = Callable[..., Any]
NAMES = ("samples", "forward_process", "restoration")
JOB = [
    *TINY,
    "degradation=column_random",
    "trainer.max_epochs=2",
    "callbacks.samples.at_epochs=every",
]
KILL = [
    "+callbacks.fault._target_=fault_callbacks.EndAt",
    "+callbacks.fault.phase=epoch_end",
    "+callbacks.fault.epoch=2",
]


def choices(*overrides: str) -> list[str]:
    """The loggers that the command line chooses."""
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return list(compose("train", overrides=list(overrides)).logger or {})


def test_a_logger_is_one_choice_or_a_list_on_the_command_line_and_in_an_experiment(
    tmp_path: Path,
) -> None:
    for usual in ([], ["logger=default"], ["logger=tensorboard"]):
        assert choices(*usual) == ["tensorboard"]
    assert choices("logger=[tensorboard,wandb,csv]") == ["tensorboard", "wandb", "csv"]
    assert choices("logger=none") == []
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /logger: [csv, mlflow]\n"
    )
    mine = [f"hydra.searchpath=[file://{tmp_path}]", "experiment=mine"]
    assert choices(*mine) == ["csv", "mlflow"]
    assert choices(*mine, "logger=comet") == ["comet"]


@pytest.mark.parametrize("name", ["mlflow", "comet"])
def test_a_missing_package_is_said_before_any_work(
    name: str, tmp_path: Path, fork_command: Run
) -> None:
    if find_spec("comet_ml" if name == "comet" else name):
        pytest.skip(f"{name} is installed here")
    refused = fork_command("train", *JOB, f"logger=[csv,{name}]", cwd=tmp_path)
    assert_refused(refused, f"logger={name} needs ", "pip install", f"[{name}]'")


def test_without_a_logger_nothing_is_lost(tmp_path: Path, fork_command: Run) -> None:
    run_dir = tmp_path / "run"
    finished = fork_command("train", *JOB, "logger=none", f"hydra.run.dir={run_dir}", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    steps, losses = read_run(run_dir).step_losses
    assert steps.tolist() == list(range(1, 9))
    means = [float(row["train/loss"]) for row in table(run_dir / "metrics.csv")]
    assert [losses[:4].mean(), losses[4:].mean()] == pytest.approx(means)
    assert not list(run_dir.glob("events*"))
    assert record(run_dir)["choices"]["logger"] == "none"


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def killed_and_resumed(fork_command: Run, run_dir: Path, logger: str, **environment: str) -> None:
    """A run that is killed before the checkpoint of its second epoch, and ends after a resume."""
    arguments = [*JOB, f"logger={logger}", f"hydra.run.dir={run_dir}"]
    killed = fork_command("train", *arguments, *KILL, cwd=run_dir.parent, **environment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = run_dir / "loggers.json"
    ids = before.read_text() if before.is_file() else ""
    finished = fork_command("train", *arguments, cwd=run_dir.parent, **environment)
    assert finished.returncode == 0, finished.stderr
    assert "continuing from" in finished.stdout
    assert (before.read_text() if before.is_file() else "") == ids


def test_a_csv_file_of_a_killed_run_is_that_of_one_never_killed(
    tmp_path: Path, fork_command: Run
) -> None:
    killed_and_resumed(fork_command, tmp_path / "killed", "[tensorboard,csv]")
    whole = tmp_path / "whole"
    finished = fork_command("train", *JOB, "logger=csv", f"hydra.run.dir={whole}", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    kept, other = (table(path / "csv" / "metrics.csv") for path in (tmp_path / "killed", whole))
    for row in (*kept, *other):
        row.pop("wall_time/epoch_s")
    assert kept == other
    assert [row["step"] for row in kept if row["train/loss_step"]] == [str(k) for k in range(1, 9)]
    assert [bool(row["final/fid"]) for row in kept].count(True) == 1
    stored = yaml.safe_load((whole / "csv" / "hparams.yaml").read_text())
    assert (stored["seed"], stored["columns"]["T"]) == (0, 28)
    events = EventAccumulator(str(tmp_path / "killed"), {"images": 0}).Reload()
    assert {"samples", "forward_process", "restoration"} <= set(events.Tags()["images"])
    again = fork_command("train", f"replay={whole}", "name=again", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    (replayed,) = tmp_path.glob("outputs/*/*/csv/metrics.csv")
    assert len(table(replayed)) == len(other)


def test_weights_and_biases_offline(tmp_path: Path, fork_command: Run) -> None:
    killed_and_resumed(fork_command, tmp_path / "run", "wandb", WANDB_MODE="offline")
    (identity,) = json.loads((tmp_path / "run" / "loggers.json").read_text()).values()
    folders = list((tmp_path / "run" / "wandb").glob("offline-run-*"))
    assert [path.name.endswith(f"-{identity}") for path in folders] == [True, True]
    images = " ".join(path.name for path in (tmp_path / "run" / "wandb").rglob("*.png"))
    for name in NAMES:
        assert name in images
    contents = b"".join(path.read_bytes() for path in (tmp_path / "run").rglob("*.wandb"))
    for name in (b"val/fid", b"train/loss_step", b"final/fid", b"degradation"):
        assert name in contents


@pytest.mark.skipif(find_spec("mlflow") is None, reason="needs mlflow")
def test_mlflow_in_a_local_database(tmp_path: Path, fork_command: Run) -> None:
    from mlflow.tracking import MlflowClient

    killed_and_resumed(fork_command, tmp_path / "run", "mlflow")
    (identity,) = json.loads((tmp_path / "run" / "loggers.json").read_text()).values()
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    run = client.get_run(identity)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "run")
    assert (run.data.params["seed"], run.data.params["columns/T"]) == ("0", "28.0")
    assert {"val/fid", "val/loss", "final/fid"} <= run.data.metrics.keys()
    history = client.get_metric_history(identity, "train/loss_step")
    assert {each.step for each in history} == set(range(1, 9))
    names = " ".join(str(path) for path in (tmp_path / "mlruns").rglob("*.png"))
    for name in NAMES:
        assert name in names


@pytest.mark.skipif(find_spec("comet_ml") is None, reason="needs comet_ml")
def test_comet_offline(tmp_path: Path, fork_command: Run) -> None:
    killed_and_resumed(fork_command, tmp_path / "run", "comet", COMET_START_ONLINE="0")
    (identity,) = json.loads((tmp_path / "run" / "loggers.json").read_text()).values()
    (path,) = (tmp_path / "run" / "comet").glob(f"{identity}*.zip")
    contents = zipfile.ZipFile(path).read("messages.json").decode()
    for name in ("val/fid", "train/loss_step", "final/fid", "degradation", "samples"):
        assert name in contents

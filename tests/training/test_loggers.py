"""The layer between thaw and Lightning's loggers."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf

from thaw.provenance import install_command
from thaw.training.loggers import opening
from thaw.training.loggers.adapter import Adapter
from thaw.training.loggers.csv_file import CSV
from thaw.training.loggers.opening import ADAPTERS, OF_TARGET, adapters, check_installed
from thaw.training.loggers.services import Comet, MLflow, Wandb
from thaw.training.stored_targets import check_target

GRID = torch.zeros(3, 4, 4, dtype=torch.uint8)
SERVICES = [adapter for adapter in ADAPTERS.values() if adapter.id_key]
AT_12 = SimpleNamespace(global_step=12, is_global_zero=True)


class Service(pl.loggers.Logger):
    """Stands for a logger of a service, which names a run once it has begun."""

    def __init__(self, run_name: str, run_id: str | None = None) -> None:
        super().__init__()
        self.label, self.id = run_name, run_id
        self.begun: list[str] = []

    @property
    def experiment(self) -> Any:
        self.id = self.id or "new"
        return Mock()

    @property
    def name(self) -> str:
        return self.label

    @property
    def version(self) -> str | None:
        return self.id

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.begun.append(f"{metrics} at {step}")

    def log_hyperparams(self, params: Any, *args: Any) -> None:
        self.begun.append("configuration")


class OfService(Adapter):
    """Its adapter."""

    package = extra = "mlflow"
    id_key = "run_id"


@pytest.fixture
def cfg(monkeypatch: pytest.MonkeyPatch) -> DictConfig:
    """A configuration with the stand-in."""
    target = f"{__name__}.Service"
    monkeypatch.setitem(opening.OF_TARGET, target, OfService)
    monkeypatch.setitem(opening.ADAPTERS, Service, OfService)
    return OmegaConf.create({"logger": {"mine": {"_target_": target}, "none": None}})


def test_a_resumed_run_goes_on_under_its_identity_and_a_new_one_gets_its_own(
    cfg: DictConfig, tmp_path: Path
) -> None:
    (first,) = opening.open_loggers(cfg, tmp_path)
    assert (first.name, first.version) == (tmp_path.name, "new")
    path = tmp_path / "loggers.json"
    assert json.loads(path.read_text()) == {"mine": "new"}
    path.write_text('{"mine": "earlier"}')
    (resumed,) = opening.open_loggers(cfg, tmp_path, resumed_at=3)
    assert resumed.version == "earlier"
    (again,) = opening.open_loggers(cfg, tmp_path)
    assert again.version == "new"


def test_what_a_logger_cannot_hold_is_left_out_and_the_rest_reaches_it(cfg: DictConfig) -> None:
    logger = Service("run")
    trainer: Any = SimpleNamespace(global_step=12, is_global_zero=True, loggers=[logger])
    (adapter,) = adapters(trainer)
    adapter.log_config({"seed": 1}, {"T": 28.0})
    adapter.log_series("train/loss_step", [0.5, 0.25], first=11)
    adapter.log_images("samples", GRID, epoch=2)
    adapter.log_figure("forward_process", Figure())
    adapter.log_scores({"final/fid": 3.0}, epoch=2)
    assert logger.begun == [
        "configuration",
        "{'train/loss_step': 0.5} at 11",
        "{'train/loss_step': 0.25} at 12",
        "{'final/fid': 3.0} at 12",
    ]
    trainer.is_global_zero = False
    assert adapters(trainer) == []


@pytest.mark.parametrize("adapter", SERVICES)
def test_a_missing_package_is_one_line_with_the_command(
    adapter: type[Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "find_spec", lambda _: None)
    target = next(target for target, kind in OF_TARGET.items() if kind is adapter)
    cfg = OmegaConf.create({"logger": {adapter.extra: {"_target_": target}}})
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        check_installed(cfg)
    assert str(refused.value) == (
        f"logger={adapter.extra} needs {adapter.package}, which is not installed: "
        f"{install_command(adapter.extra)}"
    )


def test_every_logger_may_stand_in_a_stored_configuration() -> None:
    for target in OF_TARGET:
        check_target(target, "logger.any")


@pytest.mark.parametrize("kind", [Wandb, MLflow, Comet])
def test_services_get_pictures_at_the_step_and_are_told_of_a_failure(kind: type[Adapter]) -> None:
    """Against stand-ins; what the packages make of it is in tests/commands/test_logger_choices."""
    logger: Any = Mock(run_id="id")
    adapter = kind(logger, AT_12)  # type: ignore[arg-type]
    adapter.log_images("samples", GRID, epoch=2)
    adapter.log_figure("forward_process", Figure())
    calls = str([*logger.mock_calls])
    assert "samples" in calls
    assert "forward_process" in calls
    assert "step=12" in calls
    before = len(logger.mock_calls)
    adapter.close(failed=True)
    assert len(logger.mock_calls) == before + 1


def test_a_csv_file_goes_on_with_the_rows_up_to_the_checkpoint(tmp_path: Path) -> None:
    def logger() -> pl.loggers.CSVLogger:
        return pl.loggers.CSVLogger(tmp_path, name="csv", version="")

    def rows() -> list[dict[str, str]]:
        with (tmp_path / "csv" / "metrics.csv").open() as file:
            return list(csv.DictReader(file))

    first = logger()
    for step in (1, 2, 3):
        first.log_metrics({"a": step / 4}, step)
    first.log_metrics({"b": 7.0}, 3)
    first.save()
    second = logger()
    CSV.prepare(second, "run", resumed_at=2)
    assert [row["step"] for row in rows()] == ["1", "2"]  # at once: the next kill may come
    second.log_metrics({"a": 0.75}, 3)
    second.log_metrics({"b": 7.0}, 3)
    second.save()
    third = rows()
    assert [(row["step"], row["a"], row["b"]) for row in third] == [
        ("1", "0.25", ""), ("2", "0.5", ""), ("3", "0.75", ""), ("3", "", "7.0"),
    ]  # fmt: skip
    CSV.prepare(logger(), "run", resumed_at=None)
    assert not (tmp_path / "csv" / "metrics.csv").exists()

"""Lightning's loggers of a run, and the adapter of each."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning import loggers as lightning

from thaw import ranks, runs, storage
from thaw.provenance import install_command
from thaw.training.loggers.adapter import Adapter
from thaw.training.loggers.csv_file import CSV
from thaw.training.loggers.services import Comet, MLflow, Wandb
from thaw.training.loggers.tensorboard import TensorBoard
from thaw.training.nodes import create, errors_at, members

ADAPTERS: dict[type[lightning.Logger], type[Adapter]] = {
    lightning.TensorBoardLogger: TensorBoard,
    lightning.CSVLogger: CSV,
    lightning.WandbLogger: Wandb,
    lightning.MLFlowLogger: MLflow,
    lightning.CometLogger: Comet,
}
OF_TARGET = {f"pytorch_lightning.loggers.{kind.__name__}": ADAPTERS[kind] for kind in ADAPTERS}


def check_installed(cfg: DictConfig) -> None:
    """Refuse a logger whose package is missing, with the command that installs it."""
    for name, node in members(cfg, "logger").items():
        adapter = OF_TARGET.get(node._target_, Adapter)
        if adapter.package and find_spec(adapter.package) is None:
            raise ValueError(
                f"logger={name} needs {adapter.package}, which is not installed: "
                f"{install_command(adapter.extra)}"
            )


def open_loggers(
    cfg: DictConfig, run_dir: Path, resumed_at: int | None = None
) -> list[lightning.Logger]:
    """The loggers of a configuration; those with a server's run go on in that of the run directory.

    ``resumed_at`` is the step of the checkpoint that the run goes on from, None where it starts.
    Nothing is opened before training: some have an entry on their server from then on.
    """
    path = run_dir / runs.LOGGERS
    ids = storage.read_json(path) if resumed_at is not None and path.is_file() else {}
    opened = []
    for key, node in members(cfg, "logger").items():
        adapter = OF_TARGET.get(node._target_, Adapter)
        context: dict[str, Any] = {"name": run_dir.name, "run_name": run_dir.name}
        if adapter.id_key and key in ids:
            context[adapter.id_key] = ids[key]
        logger = create(node, **context)
        with errors_at(f"logger.{key}"):
            if ranks.rank() == 0:
                if adapter.id_key:
                    _ = logger.experiment  # most have their identity only from then on
                    ids[key] = logger.version
                adapter.prepare(logger, run_dir.name, resumed_at)
        opened.append(logger)
    if ids and ranks.rank() == 0:
        storage.write_atomically(path, json.dumps(ids, indent=2) + "\n")
    return opened


def adapters(trainer: pl.Trainer, is_over: bool = False) -> list[Adapter]:
    """An adapter for each logger of a trainer, none on ranks other than zero."""
    if not trainer.is_global_zero:
        return []
    return [ADAPTERS.get(type(log), Adapter)(log, trainer, is_over) for log in trainer.loggers]

"""The configuration of a run, for its loggers."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl

from thaw.training.loggers.opening import adapters
from thaw.training.loggers.tensorboard import hyperparameters
from thaw.training.module import DiffusionModule


class LogConfiguration(pl.Callback):
    """Gives every logger the configuration and the columns of a table of runs, at the start."""

    def __init__(self, config: Mapping[str, Any], choices: Mapping[str, str], encoder: str) -> None:
        self.config = config
        self.choices = choices
        self.encoder = encoder

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, DiffusionModule)
        num_steps = pl_module.restorer.degradation.num_steps
        columns = hyperparameters(self.config, self.choices, num_steps)
        for adapter in adapters(trainer):
            adapter.log_config(self.config, columns | {"encoder": self.encoder})

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for adapter in adapters(trainer):
            adapter.log_end()

"""What all scores during training share: when they are due, and how they are kept."""

import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl

from thaw.training.callbacks.ending import AfterEpochs
from thaw.training.module import DiffusionModule


@dataclass(eq=False, repr=False, kw_only=True)
class EpochScores(AfterEpochs):
    """Logs scores of the model every few epochs, and after the last, whatever ends training.

    described: how this epoch's scores were measured, by column of metrics.csv; empty where none
        were due.
    seconds: time of the latest evaluation.
    """

    every_n_epochs: int
    batch_size: int
    seed: int
    described: dict[str, str] = field(default_factory=dict, init=False)
    seconds: float = field(default=0.0, init=False)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.described = {}

    def is_due(self, epoch: int, is_last: bool) -> bool:
        return epoch % self.every_n_epochs == 0 or is_last

    def work(self, trainer: pl.Trainer, module: DiffusionModule) -> None:
        start = time.perf_counter()
        scores = self.score(module)
        self.seconds = time.perf_counter() - start
        log_of_epoch(module, {f"val/{key}": value for key, value in scores.items()})
        self.described = {f"val/{key}": text for key, text in self.describe(module).items()}

    @abstractmethod
    def score(self, module: DiffusionModule) -> dict[str, float]:
        """The scores by name, over all processes."""

    @abstractmethod
    def describe(self, module: DiffusionModule) -> dict[str, str]:
        """How they were measured, by name: encoder, sampler."""

    @abstractmethod
    def in_words(self, row: Mapping[str, Any]) -> list[str]:
        """The parts of an epoch's line in the log, from its row of metrics.csv."""


def log_of_epoch(module: pl.LightningModule, values: Mapping[str, float]) -> None:
    """Log numbers of an epoch, the same in all processes, before its checkpoint is written.

    Lightning gives the loggers theirs afterwards: a run resumed from that checkpoint would lack
    them.
    """
    module.log_dict(dict(values), logger=False)
    tell_loggers(module.trainer, values)


def tell_loggers(trainer: pl.Trainer, values: Mapping[str, float]) -> None:
    """Numbers of the latest step; Lightning would add a curve of the epochs' own numbers."""
    for logger in trainer.loggers:
        logger.log_metrics(dict(values), trainer.global_step - 1)

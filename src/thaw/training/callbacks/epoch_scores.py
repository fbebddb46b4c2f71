"""What all scores during training share: when they are due, and how they are kept."""

import time
from abc import abstractmethod
from typing import Any

import pytorch_lightning as pl

from thaw.training.callbacks.ending import AfterEpochs
from thaw.training.module import DiffusionModule


class EpochScores(AfterEpochs):
    """Logs scores of the model every few epochs, and after the last, whatever ends training.

    latest: this epoch's numbers and descriptions, by column of metrics.csv; empty where none were
        due.
    seconds: time of the latest evaluation.

    Args:
        every_n_epochs: epochs from one evaluation to the next.
    """

    def __init__(self, every_n_epochs: int) -> None:
        self.every_n_epochs = every_n_epochs
        self.latest: dict[str, Any] = {}
        self.seconds = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.latest = {}

    def is_due(self, epoch: int, is_last: bool) -> bool:
        return epoch % self.every_n_epochs == 0 or is_last

    def work(self, trainer: pl.Trainer, module: DiffusionModule) -> None:
        start = time.perf_counter()
        scores = self.score(module, trainer)
        self.seconds = time.perf_counter() - start
        self.latest = {f"val/{key}": value for key, value in scores.items()}
        module.log_dict(self.latest, logger=False)
        described = self.described(module)
        self.latest |= {f"val/{key}": value for key, value in described.items()}

    @abstractmethod
    def score(self, module: DiffusionModule, trainer: pl.Trainer) -> dict[str, float]:
        """The scores by name, over all processes."""

    @abstractmethod
    def described(self, module: DiffusionModule) -> dict[str, str]:
        """How they were measured, by name: encoder, sampler."""

    @abstractmethod
    def in_words(self) -> list[str]:
        """The parts of an epoch's line in the log."""

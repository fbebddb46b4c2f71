"""What all scores in the course of training share: when they are due, and how they are kept."""

import time
from abc import ABC, abstractmethod
from typing import Any

import pytorch_lightning as pl

from thaw.training.module import DiffusionModule


class EpochScores(pl.Callback, ABC):
    """Logs scores of the model every few epochs, and after the last.

    ``latest``: this epoch's numbers and what they are of, by the names of metrics.csv; empty where
    none were due. ``names``: all numbers that there have been. ``seconds``: what the latest took.

    Args:
        every_n_epochs: epochs between two.
    """

    def __init__(self, every_n_epochs: int) -> None:
        self.every_n_epochs = every_n_epochs
        self.latest: dict[str, Any] = {}
        self.names: set[str] = set()
        self.seconds = 0.0

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, DiffusionModule)
        epoch = trainer.current_epoch + 1
        self.latest = {}
        if epoch % self.every_n_epochs and epoch != trainer.max_epochs and not trainer.should_stop:
            return
        start = time.perf_counter()
        scores = self.score(pl_module, trainer)
        self.seconds = time.perf_counter() - start
        self.latest = {f"val/{key}": value for key, value in scores.items()}
        self.names |= self.latest.keys()
        pl_module.log_dict(self.latest, logger=False)
        described = self.described(pl_module)
        self.latest |= {f"val/{key}": value for key, value in described.items()}

    @abstractmethod
    def score(self, module: DiffusionModule, trainer: pl.Trainer) -> dict[str, float]:
        """The numbers, of all ranks together."""

    @abstractmethod
    def described(self, module: DiffusionModule) -> dict[str, str]:
        """What belongs beside the numbers, in words: encoder, sampler."""

    @abstractmethod
    def in_words(self) -> list[str]:
        """The latest for the line of an epoch in the log, in parts."""

"""Tells a search the score of each epoch, and ends the run where the search says so."""

from typing import Protocol

import pytorch_lightning as pl
from torch import Tensor

from thaw import runs
from thaw.training.callbacks.ending import Stopper, ended_by


class Judge(Protocol):
    """What a run asks whether it is worth going on."""

    def tell(self, epoch: int, score: float) -> None:
        """Take the score after an epoch, counted from 1."""

    def is_to_end(self) -> bool:
        """Whether the run is to end after what was told last."""


class Pruning(Stopper):
    """Ends a run early; one that has come to its last epoch is let be.

    Args:
        metric: name of the score, which has a new value after every few epochs.
        judge: None in processes other than the first.
    """

    def __init__(self, metric: str, judge: Judge | None = None) -> None:
        self.metric = metric
        self.judge = judge
        self.before: Tensor | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Lightning keeps a number until the next one.
        self.before = trainer.callback_metrics.get(self.metric)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        score = trainer.callback_metrics.get(self.metric)
        if score is None or score is self.before:
            return
        if self.judge is not None:
            self.judge.tell(trainer.current_epoch + 1, float(score))
        if ended_by(trainer) is not None:
            return
        is_to_end = self.judge is not None and self.judge.is_to_end()
        if trainer.strategy.reduce_boolean_decision(is_to_end, all=False):
            self.reason = f"{runs.PRUNING} ({self.metric})"
            trainer.should_stop = True

"""Callbacks that end a process for real at a chosen moment, for tests of what is left behind."""

import os
import signal
from pathlib import Path
from typing import Any

import pytorch_lightning as pl


class EndAt(pl.Callback):
    """Sends this process a signal after a step of the optimiser, or in a phase of an epoch.

    Args:
        signal_number: SIGKILL ends it at once.
        step: after which, counted from 1; 0 for none.
        phase: ``validation`` or ``epoch_end`` of the epoch given.
        epoch: counted from 1.
    """

    def __init__(
        self,
        signal_number: int = signal.SIGKILL,
        step: int = 0,
        phase: str = "",
        epoch: int = 0,
    ) -> None:
        self.signal_number = signal_number
        self.step = step
        self.phase = (phase, epoch)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.signal_number)

    def on_validation_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self._end_in("validation", trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self._end_in("epoch_end", trainer)

    def _end_in(self, phase: str, trainer: pl.Trainer) -> None:
        if (phase, trainer.current_epoch + 1) == self.phase:
            os.kill(os.getpid(), self.signal_number)


class EndOnce(pl.Callback):
    """Sends this process a signal after a step of one run of a sweep, and never again.

    Args:
        marker: a file that says that it was sent.
        seed: the run's own.
        of_seed: of the run that is meant.
        step: of the optimiser, counted from 1.
        signal_number: SIGKILL ends it at once.
    """

    def __init__(self, marker: str, seed: int, of_seed: int, step: int, signal_number: int) -> None:
        self.marker = Path(marker)
        self.step = step if seed == of_seed else 0
        self.signal_number = signal_number

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), self.signal_number)

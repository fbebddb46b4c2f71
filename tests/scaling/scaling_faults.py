"""Callbacks that end processes for real: one of several, or the command that started them."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl


class EndRank(pl.Callback):
    """Kills the process of a rank after a step of the optimiser, counted from 1."""

    def __init__(self, rank: int, step: int) -> None:
        self.rank = rank
        self.step = step

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if (trainer.global_rank, trainer.global_step) == (self.rank, self.step):
            os.kill(os.getpid(), signal.SIGKILL)


class EndCommand(pl.Callback):
    """Sends the command of a sweep a signal from one of its processes, when two runs train.

    Args:
        folder: where each run says that it has trained an epoch.
        seed: the run's own.
        of_seed: of the run that sends it.
        other_seed: of the run that it waits for.
        signal_number: that of Ctrl-C is 2.
    """

    def __init__(
        self, folder: str, seed: int, of_seed: int, other_seed: int, signal_number: int
    ) -> None:
        self.own = Path(folder) / str(seed)
        self.other = Path(folder) / str(other_seed)
        self.signal_number = signal_number if seed == of_seed else 0

    def on_train_epoch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.current_epoch != 1:
            return
        self.own.touch()
        if self.signal_number:
            while not self.other.exists():
                time.sleep(0.05)
            os.kill(os.getppid(), self.signal_number)

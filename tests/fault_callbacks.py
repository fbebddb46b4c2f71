"""Callbacks that end a process for real at a chosen moment, for tests of what is left behind."""

import os
import resource
import shutil
import signal
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch


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


class FillsUp(pl.Callback):
    """At the end of an epoch, before its files are written, the disk has no room left.

    What the last checkpoint was then is kept beside the run as ``before.ckpt``.

    Args:
        run_dir: the run directory.
        epoch: counted from 1.
        largest: no file may grow beyond so many bytes any more.
    """

    def __init__(self, run_dir: Path, epoch: int, largest: int) -> None:
        self.run_dir = run_dir
        self.epoch = epoch
        self.largest = largest

    def on_train_epoch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.current_epoch + 1 != self.epoch:
            return
        shutil.copy(self.run_dir / "checkpoints" / "last.ckpt", "before.ckpt")
        # What is printed goes to a terminal as a rule, which has always room.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.largest, hard))


class Breaks(pl.Callback):
    """Makes a weight infinite after a step of the optimiser.

    Args:
        step: counted from 1.
    """

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        if trainer.global_step == self.step:
            with torch.no_grad():
                next(pl_module.parameters()).fill_(torch.inf)


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


class Moves(pl.Callback):
    """Moves the run's directory after the first step of the second epoch.

    Args:
        run_dir: the run directory.
        to: where to.
    """

    def __init__(self, run_dir: Path, to: str) -> None:
        self.run_dir = run_dir
        self.to = to

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.current_epoch == 1 and self.run_dir.exists():
            self.run_dir.rename(self.to)

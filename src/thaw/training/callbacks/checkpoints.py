"""The checkpoints of a run: the last, the one before it, the best by a score, one on a signal."""

import math
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from thaw import ranks, runs, stopping, storage
from thaw.metrics import table
from thaw.metrics.table import Score
from thaw.privates.lightning import checkpoint_contents, count_by_epochs
from thaw.training import event_files
from thaw.training.callbacks.ending import ended_by
from thaw.training.checkpoint_io import replace_by_copy
from thaw.training.loggers.opening import adapters


class Checkpoints(Checkpoint):
    """Writes ``checkpoints/last.ckpt`` after every epoch and ``best.ckpt`` where a score improved.

    The last but one stays as ``previous.ckpt``. Files are replaced as a whole (see
    :class:`~thaw.training.checkpoint_io.CheckpointFiles`), so that a kill leaves the old one.
    ``every_n_steps`` of the optimiser there is one within an epoch, from which training goes on
    exactly, too.
    """

    def __init__(
        self,
        run_dir: Path,
        every_n_steps: int | None = None,
        monitor: Score = table.GENERATED[0],
    ) -> None:
        self.run_dir = run_dir
        self.every_n_steps = every_n_steps
        self.monitor = monitor
        self.best: float | None = None
        self.last_step = 0
        # Listed before this process opens its own: after a container restarts, PIDs repeat.
        self.earlier_events = set(event_files.sizes(run_dir))

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        count_by_epochs(trainer)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.last_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        step = trainer.global_step
        is_due = self.every_n_steps is not None and step % self.every_n_steps == 0
        # With accumulated gradients several batches end at the same step.
        if (
            is_due
            and step != self.last_step
            and not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        ):
            self.last_step = step
            self.save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        value = trainer.callback_metrics.get(f"val/{self.monitor.name}")
        improved = value is not None and self._improves(float(value))
        self.save(trainer)
        if trainer.is_global_zero and improved:
            best = self.run_dir / runs.BEST_CHECKPOINT
            with storage.writing(best):
                replace_by_copy(self.run_dir / runs.LAST_CHECKPOINT, best)

    def _improves(self, value: float) -> bool:
        sign = 1 if self.monitor.lower_is_better else -1
        best = sign * math.inf if self.best is None else self.best
        if not sign * value < sign * best:  # nor does NaN
            return False
        self.best = value
        return True

    def save(self, trainer: pl.Trainer, is_alone: bool = False) -> None:
        """Write ``last.ckpt``; training goes on exactly from between two optimiser steps.

        All processes call this together, unless one ``is_alone``, as on a signal.
        """
        last = self.run_dir / runs.LAST_CHECKPOINT
        for adapter in adapters(trainer):
            adapter.flush()
        if is_alone:
            contents = checkpoint_contents(trainer)
            trainer.strategy.save_checkpoint(contents, last)
        else:
            trainer.save_checkpoint(last)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "events": event_files.sizes(self.run_dir)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]
        if ranks.rank() == 0:
            event_files.cut_back(self.run_dir, self.earlier_events, state_dict["events"])


class StepsAreOver(pl.Callback):
    """Lets signals end the run at once when an epoch's steps are over: scores may take minutes.

    A limit of steps or time, or a callback, may end them after any batch.
    """

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        stopping.defer(False)


class StopAfterStep(Checkpoint):
    """Ends training on a signal, after the current optimiser step and with a checkpoint there.

    Outside of the steps (validation, scores) and after an epoch's last step a signal ends the run
    at once; the steps since the last checkpoint are repeated on resume. This is a ``Checkpoint``
    because Lightning calls those after its timer, which may end training after the same step.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self.step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Lightning has put its own SIGTERM handler first: it makes all processes communicate at
        # any moment, and stops a run that a scheduler's handler would let go on.
        stopping.listen_again()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        stopping.defer(True)
        self.step = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        # Between two optimiser steps accumulated gradients would be lost.
        if trainer.global_step == self.step:
            return
        number = stopping.requested()
        is_last = (
            trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
            or ended_by(trainer) is not None
        )
        if is_last or number is not None:
            stopping.defer(False)
        if number is not None:
            # From after an epoch's last step Lightning would not go on exactly.
            if not is_last:
                self.checkpoints.save(trainer, is_alone=True)
            raise stopping.Stopped(number)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        stopping.requested()  # a signal that came meanwhile: the exception ends the run already
        stopping.defer(False)

"""The checkpoints of a run: the last, the one before it, the best by FID, and one on a signal."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from thaw import ranks, runs, stopping, storage
from thaw.checks import check_whole
from thaw.training import event_files
from thaw.training.callbacks.ending import ended_by
from thaw.training.callbacks.tensorboard import writers
from thaw.training.checkpoint_files import replace_by_copy


class Checkpoints(Checkpoint):
    """Writes ``checkpoints/last.ckpt`` after every epoch and ``best.ckpt`` where FID improved.

    What was the last stays as ``previous.ckpt``. Each comes into place whole (see
    :class:`~thaw.training.checkpoint_files.CheckpointFiles`), so that a kill leaves the one before.

    Args:
        run_dir: the run directory.
        every_n_steps: steps of the optimiser after which there is one within an epoch too, from
            which training goes on exactly as well; None for none.
        monitor: the score that is best where it is smallest.

    Raises:
        ValueError: every_n_steps is not a whole number of at least 1.
    """

    def __init__(
        self, run_dir: Path, every_n_steps: int | None = None, monitor: str = "val/fid"
    ) -> None:
        if every_n_steps is not None:
            check_whole("checkpoint.every_n_steps", every_n_steps)
        self.run_dir = run_dir
        self.every_n_steps = every_n_steps
        self.monitor = monitor
        self.best: float | None = None
        self.last_step = 0
        # Before this process has opened one: a resumed container's process has the same number.
        self.earlier_events = event_files.names(run_dir)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        # Else, with trainer.max_steps, Lightning takes up an epoch again that was finished, without
        # a batch.
        loop: Any = trainer.fit_loop
        loop._iteration_based_training = lambda: False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.last_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        step = trainer.global_step
        is_due = self.every_n_steps is not None and step % self.every_n_steps == 0
        # With accumulated gradients several batches end at one step; the epoch's end has its own.
        if (
            is_due
            and step != self.last_step
            and not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        ):
            self.last_step = step
            self.save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        value = trainer.callback_metrics.get(self.monitor)
        improved = False
        if value is not None and (self.best is None or float(value) < self.best):
            improved, self.best = True, float(value)
        self.save(trainer)
        if trainer.is_global_zero and improved:
            best = self.run_dir / runs.BEST_CHECKPOINT
            with storage.writing(best):
                replace_by_copy(self.run_dir / runs.LAST_CHECKPOINT, best)

    def save(self, trainer: pl.Trainer, is_alone: bool = False) -> None:
        """Write ``last.ckpt``; exact between two steps of the optimiser.

        All processes do this together, unless the first alone is to stop, and the others are at
        another place.
        """
        last = self.run_dir / runs.LAST_CHECKPOINT
        for writer in writers(trainer):
            writer.flush()
        if is_alone:
            contents = trainer._checkpoint_connector.dump_checkpoint(False)
            trainer.strategy.save_checkpoint(contents, last)
        else:
            trainer.save_checkpoint(last)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "events": event_files.sizes(self.run_dir)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]
        # One of before they were kept says nothing of them.
        if "events" in state_dict and ranks.rank() == 0:
            event_files.cut_back(self.run_dir, self.earlier_events, state_dict["events"])


class StepsAreOver(pl.Callback):
    """Lets signals end the run at once as soon as an epoch's steps are over, however they ended.

    A limit of steps or of time, or a callback, ends them after any batch. The first of all
    callbacks: scores take minutes.
    """

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        stopping.defer(False)


class StopAfterStep(Checkpoint):
    """Ends training on a signal after the step of the optimiser, with a checkpoint there.

    Outside of the steps, in validation or scores, and after an epoch's last step the signal ends
    the run at once; the steps since the last checkpoint are done again on resume. Lightning calls
    what is called Checkpoint after its timer, which may end training after this step.

    Args:
        checkpoints: writes the checkpoint.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self.step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Lightning has put a handler of its own before that of SIGTERM, which makes all processes
        # talk at any moment, and stops one that a scheduler's handler would let go on.
        stopping.listen_again()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        stopping.defer(True)
        self.step = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        # Gradients that are still accumulating would be lost.
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
            # After an epoch's last step Lightning would not go on exactly from here.
            if not is_last:
                self.checkpoints.save(trainer, is_alone=True)
            raise stopping.Stopped(number)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        stopping.requested()  # what ends the run is said already
        stopping.defer(False)

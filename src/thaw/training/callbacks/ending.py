"""Work after epochs, and after the last one, whatever ends training."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint, EarlyStopping, Timer

from thaw.privates.lightning import may_stop_early
from thaw.training.module import DiffusionModule


def is_cut(trainer: pl.Trainer) -> bool:
    """Whether training ended before the last batch of the latest epoch."""
    return not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch


def ended_by(trainer: pl.Trainer) -> str | None:
    """What ends training at the latest step, as far as it is known yet; None where it goes on.

    A key such as ``trainer.max_steps``, or the name of the callback that stopped it. (Lightning's
    own ``fit_loop.done`` has a side effect: asking it counts an epoch as completed.)
    """
    loop: Any = trainer.fit_loop
    num_epochs, max_epochs = loop.epoch_progress.current.processed, trainer.max_epochs
    are_all_done = max_epochs is not None and max_epochs != -1 and num_epochs >= max_epochs
    if are_all_done and not is_cut(trainer):
        return "trainer.max_epochs"
    if trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps:
        return "trainer.max_steps"
    if trainer.should_stop and may_stop_early(trainer):
        return _who_stopped(trainer)
    return "trainer.max_epochs" if are_all_done else None


class Stopper(pl.Callback):
    """A callback that may end training, and then says why: ``reason``."""

    reason: str | None = None


def _who_stopped(trainer: pl.Trainer) -> str:
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Stopper) and callback.reason:
            return callback.reason
        if isinstance(callback, EarlyStopping) and callback.stopped_epoch:
            return type(callback).__name__
        if isinstance(callback, Timer):
            remaining = callback.time_remaining()
            if remaining is not None and remaining <= 0:
                return "trainer.max_time"
    return "a callback"


def early_end(trainer: pl.Trainer, settings: Mapping[str, Any]) -> str | None:
    """What ended training before the last step of the last epoch, and where; None for nothing."""
    end = ended_by(trainer)
    if end is None or end == "trainer.max_epochs":
        return None
    key = end.removeprefix("trainer.")
    what = end if key == end else f"{end}={settings[key]}"
    epoch = f"epoch {trainer.current_epoch}"
    if trainer.max_epochs not in (None, -1):
        epoch = f"{epoch} of {trainer.max_epochs}"
    return f"{what} {'in' if is_cut(trainer) else 'after'} {epoch}, step {trainer.global_step}"


class AfterEpochs(pl.Callback, ABC):
    """A callback that works after some epochs, and perhaps after the last one.

    Whether an epoch is the last is not always known at its turn: :class:`AfterLast` calls it again
    then.
    """

    done_after: int | None = None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, DiffusionModule)
        epoch = trainer.current_epoch + 1
        is_last = ended_by(trainer) is not None
        if self.done_after != epoch and self.is_due(epoch, is_last):
            self.done_after = epoch
            self.work(trainer, pl_module)

    @abstractmethod
    def is_due(self, epoch: int, is_last: bool) -> bool:
        """Whether there is work after this epoch, counted from 1."""

    @abstractmethod
    def work(self, trainer: pl.Trainer, module: DiffusionModule) -> None:
        """The work."""


class AfterLast(Checkpoint):
    """Calls every :class:`AfterEpochs` again if training has turned out to end after this epoch.

    Lightning calls EarlyStopping after all other callbacks, and ``Checkpoint`` callbacks, which
    this is one of, after that.
    """

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if ended_by(trainer) is not None:
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, AfterEpochs):
                    callback.on_train_epoch_end(trainer, pl_module)

"""The progress bar: steps, loss and the latest scores."""

import sys
from contextlib import ExitStack
from typing import Annotated, Any

import pytorch_lightning as pl
from annotated_types import Ge
from pytorch_lightning.callbacks import TQDMProgressBar

from thaw.checks import checked
from thaw.metrics import table
from thaw.progress import progress
from thaw.training.module import DiffusionModule


class Progress(TQDMProgressBar):
    """Lightning's progress bar; the loss is read from the device only when the bar is redrawn.

    If standard error is not a terminal, the log has a line now and then instead. A ``refresh_rate``
    of 0 steps shows nothing.
    """

    @checked
    def __init__(self, refresh_rate: Annotated[int, Ge(0)] = 10) -> None:
        is_terminal = sys.stderr.isatty()
        super().__init__(refresh_rate=refresh_rate if is_terminal else 0)
        self.has_lines = refresh_rate > 0 and not is_terminal
        self.epoch = ExitStack()

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        super().on_train_epoch_start(trainer)
        # Counted from 1, as in the log, metrics.csv and the names of the grids.
        epoch, last = trainer.current_epoch + 1, trainer.max_epochs
        title = f"{epoch}/{last}" if last else f"{epoch}"
        self.train_progress_bar.set_description(f"Epoch {title}" if last else title)
        if self.has_lines:
            # The count over all epochs: this epoch's own is set to 0 only after this.
            batches = trainer.fit_loop.epoch_loop.batch_progress.total
            total = int(trainer.num_training_batches)
            self.epoch.enter_context(progress(f"epoch {title}", total, lambda: batches.completed))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        self.epoch.close()

    def on_exception(self, *_: Any) -> None:
        self.epoch.close()

    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        assert isinstance(pl_module, DiffusionModule)
        shown: dict[str, Any] = {}
        if pl_module.losses:
            shown["loss"] = f"{pl_module.losses[-1].item():.4f}"
        for score in table.GENERATED:
            value = trainer.callback_metrics.get(f"val/{score.name}")
            if score.is_main and value is not None:
                shown[score.label] = format(float(value), score.format)
        return shown

"""The loss of each step and each epoch, read from the device once an epoch."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from thaw import runs
from thaw.privates.lightning import is_accumulating
from thaw.training import step_losses
from thaw.training.callbacks.epoch_scores import log_of_epoch, tell_loggers
from thaw.training.loggers.opening import adapters
from thaw.training.module import DiffusionModule


class LossLog(pl.Callback):
    """Logs ``train/loss_step`` for every optimiser step and ``train/loss`` for every epoch.

    The first is the mean over the batches that are accumulated into a step, the second over all
    batches of the epoch; ``val/loss`` is logged here too. Those of the steps are also a file of the
    run directory.
    """

    module: DiffusionModule

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / runs.STEP_LOSSES

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        assert isinstance(pl_module, DiffusionModule)
        self.module = pl_module

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            # A checkpoint from within an epoch holds the losses since its start.
            unwritten = len(self.module.losses) // trainer.accumulate_grad_batches
            step_losses.cut_back(self.path, trainer.global_step - unwritten)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking and "val/loss" in trainer.callback_metrics:
            tell_loggers(trainer, {"val/loss": float(trainer.callback_metrics["val/loss"])})

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        losses = self.module.read_losses()
        self.module.losses.clear()
        log_of_epoch(pl_module, {"train/loss": losses.mean().item()})
        of_steps = list(losses.split(trainer.accumulate_grad_batches))
        # Training may end between two steps; the gradients since the last step are lost.
        if is_accumulating(trainer):
            of_steps.pop()
        first = trainer.global_step + 1 - len(of_steps)
        values = [of_step.mean().item() for of_step in of_steps]
        for adapter in adapters(trainer):
            adapter.log_series("train/loss_step", values, first)
        if trainer.is_global_zero:
            step_losses.write(self.path, values, first)

    def state_dict(self) -> dict[str, Any]:
        return {"losses": self.module.read_losses()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # A checkpoint from within an epoch holds the losses of the batches before it.
        self.module.losses[:0] = state_dict["losses"]

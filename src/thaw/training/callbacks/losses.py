"""The loss of each step and each epoch, read from the device once an epoch."""

from typing import Any

import pytorch_lightning as pl

from thaw.privates.lightning import is_accumulating
from thaw.training.callbacks.epoch_scores import log_of_epoch
from thaw.training.callbacks.tensorboard import writers
from thaw.training.module import DiffusionModule


class LossLog(pl.Callback):
    """Logs ``train/loss_step`` for every optimiser step and ``train/loss`` for every epoch.

    The first is the mean over the batches that are accumulated into a step, the second over all
    batches of the epoch.
    """

    module: DiffusionModule

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        assert isinstance(pl_module, DiffusionModule)
        self.module = pl_module

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        losses = self.module.read_losses()
        self.module.losses.clear()
        log_of_epoch(pl_module, {"train/loss": losses.mean().item()})
        of_steps = list(losses.split(trainer.accumulate_grad_batches))
        # Training may end between two steps; the gradients since the last step are lost.
        if is_accumulating(trainer):
            of_steps.pop()
        first = trainer.global_step + 1 - len(of_steps)
        for writer in writers(trainer):
            for step, of_step in enumerate(of_steps, start=first):
                writer.add_scalar("train/loss_step", of_step.mean().item(), step)

    def state_dict(self) -> dict[str, Any]:
        return {"losses": self.module.read_losses()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # A checkpoint from within an epoch holds the losses of the batches before it.
        self.module.losses[:0] = state_dict["losses"]

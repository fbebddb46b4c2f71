"""The loss of each step and of each epoch, read from the device once an epoch."""

from typing import Any

import pytorch_lightning as pl

from thaw.training.callbacks.tensorboard import writers
from thaw.training.epoch_losses import EpochLosses
from thaw.training.module import DiffusionModule


class LossLog(pl.Callback):
    """Logs ``train/loss_step`` for every step of the optimiser and ``train/loss`` every epoch.

    The first is the mean over the batches whose gradients made the step, the second that over all
    batches of the epoch. Losses stay on the device until then, so that no step waits for one.
    """

    epoch_losses: EpochLosses

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        assert isinstance(pl_module, DiffusionModule)
        self.epoch_losses = pl_module.epoch_losses

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        losses = self.epoch_losses.read()
        self.epoch_losses.clear()
        pl_module.log("train/loss", losses.mean(), sync_dist=True, logger=False)
        of_steps = list(losses.split(trainer.accumulate_grad_batches))
        # Training may end between two steps; the gradients since the last one are lost.
        if trainer.fit_loop._should_accumulate():
            of_steps.pop()
        first = trainer.global_step + 1 - len(of_steps)
        for writer in writers(trainer):
            for step, of_step in enumerate(of_steps, start=first):
                writer.add_scalar("train/loss_step", of_step.mean().item(), step)

    def state_dict(self) -> dict[str, Any]:
        return {"losses": self.epoch_losses.read()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # A checkpoint from within an epoch has those of the batches before it.
        self.epoch_losses.restore(state_dict["losses"])

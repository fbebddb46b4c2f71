"""The loss of each step and of each epoch, read from the device once an epoch."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from thaw.training.callbacks.tensorboard import writers
from thaw.training.module import DiffusionModule


class LossLog(pl.Callback):
    """Logs ``train/loss_step`` for every step of the optimiser and ``train/loss`` every epoch.

    The first is the mean over the batches whose gradients made the step, the second that over all
    batches of the epoch. Losses stay on the device until then, so that no step waits for one.
    """

    def __init__(self) -> None:
        self.losses: list[Tensor] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, DiffusionModule)
        # Those of a checkpoint from the middle of this epoch come first.
        pl_module.step_losses[:0] = self.losses
        self.losses = pl_module.step_losses

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        losses = torch.stack(self.losses).float().cpu()
        self.losses.clear()
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
        return {"losses": torch.stack(self.losses) if self.losses else torch.empty(0)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.losses.extend(state_dict["losses"])

"""The loss of each step and of each epoch, read from the device once an epoch."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from thaw.training.callbacks.tensorboard import writers
from thaw.training.module import DiffusionModule


class LossLog(pl.Callback):
    """Logs ``train/loss_step`` for every step and ``train/loss``, their mean, every epoch.

    Losses stay on the device until the epoch ends, so that no step waits for one.
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
        first = trainer.fit_loop.epoch_loop.total_batch_idx + 2 - len(losses)
        for writer in writers(trainer):
            for step, loss in enumerate(losses.tolist(), start=first):
                writer.add_scalar("train/loss_step", loss, step)

    def state_dict(self) -> dict[str, Any]:
        return {"losses": torch.stack(self.losses) if self.losses else torch.empty(0)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.losses.extend(state_dict["losses"])

"""The LightningModule: steps, generators and the optimiser, no arithmetic."""

from typing import Any, Self

import pytorch_lightning as pl
import torch
from torch import Generator, Tensor

from thaw.diffusion.guidance import hide_labels
from thaw.ranks import WHOLE, Portion
from thaw.seeding import derive_seed, generator, seed_global
from thaw.training.model import Model

# Part of each key: what is drawn is the same in every process.
EVERY_PROCESS = 0


class DiffusionModule(Model, pl.LightningModule):
    """Trains a restorer by an objective on batches ``(x_0, labels)``.

    The steps t and the noise of a batch come from a generator keyed on (seed, epoch, batch), so
    that a resumed run draws what an undisturbed one does; validation draws the same in every epoch.
    A second generator hides a share of the training labels (``label_dropout`` of the restorer).
    Dropout layers use the global generator, which is seeded for each batch in the same way.

    Where several processes train together, each gets the whole batch and draws for all of it, but
    computes the loss of its own part: together they do what one process does.

    Arguments as :class:`~thaw.training.model.Model`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # One a batch of this epoch; they stay on the device until a callback reads them.
        self.losses: list[Tensor] = []

    @classmethod
    def of(cls, model: Model) -> Self:
        """A module that trains this model: it shares the parts, under the same names."""
        return cls(
            model.restorer,
            model.prior,
            model.objective,
            model.optimizer,
            model.lr_scheduler,
            model.seed,
            model.provenance,
            model.ema,
        )

    def read_losses(self, last: int = 0) -> Tensor:
        """The losses of the ``last`` batches, 0 for all of the epoch, float32 on the CPU.

        No training step waits for the device; this does.
        """
        losses = self.losses[-last:]
        return torch.stack(losses).float().cpu() if losses else torch.empty(0)

    def batch_seed(self, epoch: int, batch_idx: int) -> int:
        """Seed for the steps t and the noise of a training batch."""
        return derive_seed(self.seed, "train", epoch, batch_idx, EVERY_PROCESS)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        key = (self.current_epoch, batch_idx, EVERY_PROCESS)
        x_0, labels = batch
        if self.restorer.num_classes is not None:
            draws = self._generator("labels", *key)
            labels = hide_labels(labels, self.restorer.label_dropout, draws)
        draws, mine = self._generator("train", *key), self.portion.of(len(x_0))
        own_key = (self.current_epoch, batch_idx, self.global_rank)
        seed_global(derive_seed(self.seed, "network", *own_key), self.device)
        loss = self.objective(self.restorer, x_0, draws, labels, mine)
        self.losses.append(self._of_whole_batch(loss.detach(), len(x_0[mine]) / len(x_0)))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        draws = self._generator("val", batch_idx, EVERY_PROCESS)
        x_0, labels = batch
        mine = self.portion.of(len(x_0))
        share = len(x_0[mine]) / len(x_0)
        # The last batch may have fewer images than there are processes: some have no part of it.
        loss = x_0.new_zeros(())
        if share:
            loss = self.objective(self.evaluated, x_0, draws, labels, mine)
        # Lightning's sync_dist would weight the parts by a batch size rounded to an integer.
        # LossLog tells the loggers.
        whole = self._of_whole_batch(loss, share)
        self.log("val/loss", whole, batch_size=len(x_0), logger=False)

    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer(self.restorer.network.parameters())
        if (ema := self.ema) is not None:
            optimizer.register_step_post_hook(lambda *_: ema.update(self.restorer))
        if self.lr_scheduler is None:
            return optimizer
        num_steps = self.trainer.estimated_stepping_batches
        if num_steps == float("inf"):
            raise ValueError("lr_scheduler needs an end: set trainer.max_epochs or max_steps")
        scheduler = self.lr_scheduler(optimizer, num_steps=int(num_steps))
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["thaw"] = self.provenance

    @property
    def portion(self) -> Portion:
        """This process's portion of the work, as of each batch; all of it without a trainer."""
        if self._trainer is None:
            return WHOLE
        return Portion(self.trainer.global_rank, self.trainer.world_size)

    def _of_whole_batch(self, loss: Tensor, share: float) -> Tensor:
        """The loss of the whole batch from the loss of this process's part, a share of it."""
        if self.portion.world_size == 1:
            return loss
        whole = self.trainer.strategy.reduce(loss * share, reduce_op="sum")
        assert isinstance(whole, Tensor)
        return whole

    def _generator(self, *key: int | str) -> Generator:
        return generator(self.seed, *key, device=self.device)

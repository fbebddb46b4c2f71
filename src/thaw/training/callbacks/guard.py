"""Stops a run at a NaN or an infinite number, and warns of one that learns nothing."""

import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from thaw import runs
from thaw.data.module import ImageDataModule
from thaw.diffusion.objectives import trivial_loss
from thaw.privates.lightning import is_accumulating
from thaw.seeding import generator
from thaw.training.module import DiffusionModule

log = logging.getLogger(__name__)
EVERY_N_STEPS = 50
NEAR = 0.97
PATIENCE = 3
NUM_IMAGES = 512


class BrokenNumbersError(ArithmeticError):
    """A loss or a weight is NaN or infinite."""


class Guard(pl.Callback):
    """Checks the losses every 50 steps, and losses and weights before every checkpoint.

    A NaN or an infinite number ends the run; the error names the step, the seed of its batch and
    the last good checkpoint. If the loss after three epochs is no better than that of the best
    constant answer to training images, a warning is logged once.
    """

    def __init__(self, run_dir: Path, data: ImageDataModule) -> None:
        self.run_dir = run_dir
        self.data = data
        self.trivial = 0.0
        self.has_warned = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, DiffusionModule)
        x_0 = pl_module.restorer.pixel_range.from_uint8(
            self.data.train_images[:NUM_IMAGES].to(pl_module.device)
        )
        draws = generator(pl_module.seed, "trivial", device=pl_module.device)
        self.trivial = trivial_loss(pl_module.objective, pl_module.restorer, x_0, draws)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        assert isinstance(pl_module, DiffusionModule)
        if (trainer.global_step + 1) % EVERY_N_STEPS == 0:
            batches = EVERY_N_STEPS * trainer.accumulate_grad_batches
            self._check(batches, trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, DiffusionModule)
        loss = self._check(0, trainer, pl_module)
        self._check_weights(trainer, pl_module)
        epoch = trainer.current_epoch + 1
        if epoch >= PATIENCE and loss > NEAR * self.trivial and not self.has_warned:
            self.has_warned = True
            log.warning(
                "after %d epochs the loss, %.4g, is that of a constant answer, %.4g: nothing is "
                "learnt (try another optimizer.lr)", epoch, loss, self.trivial,
            )  # fmt: skip

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # A checkpoint within an epoch, or on a signal, comes between two of the checks above.
        assert isinstance(pl_module, DiffusionModule)
        if pl_module.losses:
            self._check(0, trainer, pl_module)
        self._check_weights(trainer, pl_module)

    def _check(self, last: int, trainer: pl.Trainer, module: DiffusionModule) -> float:
        """The mean loss of the last batches, 0 for all of the epoch, if all are finite."""
        losses = module.read_losses(last)
        broken = (~losses.isfinite()).nonzero()
        if len(broken):
            ago = len(losses) - 1 - int(broken[0])
            raise BrokenNumbersError(
                f"the loss is {losses[broken[0]].item()} at {self._batch(trainer, module, ago)}"
            )
        return losses.mean().item()

    def _check_weights(self, trainer: pl.Trainer, module: DiffusionModule) -> None:
        for name, parameter in module.restorer.network.named_parameters():
            if not parameter.isfinite().all():
                raise BrokenNumbersError(
                    f"the weights {name} are not finite after {self._batch(trainer, module, 0)}"
                )

    def _batch(self, trainer: pl.Trainer, module: DiffusionModule, ago: int) -> str:
        """In words: the batch ``ago`` before the latest, and what to do about it."""
        batch = trainer.fit_loop.epoch_loop.batch_idx - ago
        num = trainer.accumulate_grad_batches
        latest = trainer.global_step + is_accumulating(trainer)
        step = latest - ((batch + ago) // num - batch // num)
        path = self.run_dir / runs.LAST_CHECKPOINT
        good = f"the last good checkpoint is {path}" if path.is_file() else "no checkpoint was made"
        return (
            f"step {step} (epoch {trainer.current_epoch + 1}, batch {batch + 1}, drawn with the "
            f"seed {module.batch_seed(trainer.current_epoch, batch)}); {good}; debug=anomaly "
            "shows the operation"
        )

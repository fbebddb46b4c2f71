"""The checkpoints of a run: the last epoch's, and the best by FID."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from thaw import runs


class Checkpoints(Checkpoint):
    """Writes ``checkpoints/last.ckpt`` after every epoch and ``best.ckpt`` where FID improved.

    Each is written beside its place and moved there, so that a kill leaves the one before whole.
    """

    def __init__(self, run_dir: Path, monitor: str = "val/fid") -> None:
        self.run_dir = run_dir
        self.monitor = monitor
        self.best: float | None = None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        value = trainer.callback_metrics.get(self.monitor)
        improved = False
        if value is not None and (self.best is None or float(value) < self.best):
            improved, self.best = True, float(value)
        last = self.run_dir / runs.LAST_CHECKPOINT
        temporary = last.with_suffix(".tmp")
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            os.replace(temporary, last)
            if improved:
                best = self.run_dir / runs.BEST_CHECKPOINT
                shutil.copyfile(last, best.with_suffix(".tmp"))
                os.replace(best.with_suffix(".tmp"), best)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]

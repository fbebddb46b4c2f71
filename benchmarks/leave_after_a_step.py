"""A callback for startup.py: the process ends, well, after its first training step."""

import os
from typing import Any

import pytorch_lightning as pl


class LeaveAfterAStep(pl.Callback):
    """Leaves at once, without what a run does at its end."""

    def on_train_batch_end(self, *args: Any) -> None:
        os._exit(0)

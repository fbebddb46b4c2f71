"""Time of an epoch against the number of images, their size and T: linear or better.

A small network. Each row is a whole epoch through train.py's trainer, timed between two of its
epochs' ends; the cost of an image (or of a pixel) is compared with that of the row before.
``python benchmarks/scaling.py``
"""

import statistics
import tempfile
import time
from pathlib import Path

import pytorch_lightning as pl
from hydra import compose, initialize_config_dir

from thaw.commands import config
from thaw.commands.app import CONF
from thaw.commands.train import prepare

EPOCHS = 4
FIXED = [
    *("data=photographs", "data.source.colour=false", "data.batch_size=50", "model.hidden=[4,4]"),
    *("model.kernel_size=3", "metrics=none", "logger=none", "callbacks={}"),
    *(f"trainer.max_epochs={EPOCHS}", "trainer.enable_progress_bar=false"),
    "trainer.limit_val_batches=0",
]
IMAGES = "data.source.num_images"
SIZE = "data.source.image_size"
STEPS = "schedule.timesteps"
AXES = {
    "images": [{IMAGES: n, SIZE: 28, STEPS: 1000} for n in (1000, 2000, 4000, 8000)],
    "pixels": [{IMAGES: 1000, SIZE: side, STEPS: 1000} for side in (14, 28, 56)],
    "T": [{IMAGES: 2000, SIZE: 28, STEPS: steps} for steps in (10, 100, 1000, 10000)],
}


class EpochTimes(pl.Callback):
    """When each epoch ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_epoch_end(self, *args: object) -> None:
        self.ends.append(time.perf_counter())


def seconds(overrides: list[str]) -> float:
    """The median time of an epoch."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [*FIXED, *overrides])
    with tempfile.TemporaryDirectory() as directory:
        experiment, trainer = prepare(cfg, Path(directory), {})
        times = EpochTimes()
        trainer.callbacks.insert(0, times)
        trainer.fit(experiment.module, datamodule=experiment.data)
    return statistics.median(b - a for a, b in zip(times.ends, times.ends[1:], strict=False))


def main() -> None:
    """Print the time of an epoch, and of an image (or pixel) of it, along each axis."""
    config.register()
    for axis, rows in AXES.items():
        for row in rows:
            spent = seconds([f"{key}={value}" for key, value in row.items()])
            images, side = row[IMAGES], row[SIZE]
            print(
                f"{axis:8s} {images:6d} images of {side}x{side}, T = {row[STEPS]:6d}: "
                f"{spent:7.2f} s an epoch, {1e6 * spent / images:8.1f} us an image, "
                f"{1e9 * spent / images / side**2:8.1f} ns a pixel"
            )


if __name__ == "__main__":
    main()

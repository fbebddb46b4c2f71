"""What train.py costs over a bare PyTorch loop: the ratio of their times per step, in one run.

The same network, degradation, loss and optimiser on the same in-memory images. A step of one and a
step of the other take turns, so that both meet the same machine, and medians are compared.
``python benchmarks/training_step.py [override ...]``
"""

import copy
import statistics
import sys
import tempfile
import time
from pathlib import Path

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir

from thaw.commands import config
from thaw.commands.app import CONF
from thaw.commands.train import prepare
from thaw.training.experiment import Experiment

STEPS, WARM_UP = 60, 5


class TakeTurns(pl.Callback):
    """Times each step of the trainer, from the end of the one before, and a bare step after it."""

    def __init__(self, experiment: Experiment, learning_rate: float) -> None:
        self.experiment = experiment
        self.framework: list[float] = []
        self.bare: list[float] = []
        self.network = copy.deepcopy(experiment.restorer.network)
        self.learning_rate = learning_rate

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.network.to(pl_module.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=self.learning_rate)
        self.images = self.experiment.data.train_images.to(pl_module.device)
        self.last = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, *args: object) -> None:
        synchronize()
        self.framework.append(time.perf_counter() - self.last)
        start = time.perf_counter()
        self.bare_step()
        synchronize()
        self.bare.append(time.perf_counter() - start)
        self.last = time.perf_counter()

    def bare_step(self) -> None:
        """Index, degrade, predict, compare, step."""
        module, data = self.experiment.module, self.experiment.data
        degradation = module.restorer.degradation
        index = torch.randint(len(self.images), (data.batch_size,), device=self.images.device)
        x_0 = self.images[index].float() / 255 - 0.5
        t = torch.randint(1, degradation.num_steps + 1, (len(x_0),), device=x_0.device)
        noise = degradation.draw_noise(x_0)
        output = self.network(degradation(x_0, t, noise), t)
        target = module.restorer.prediction.target(x_0, noise, t, degradation)
        loss = module.objective.distance(output, target).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def synchronize() -> None:
    """Wait for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main(overrides: list[str]) -> None:
    """Print milliseconds a step of both, and their ratio."""
    config.register()
    fixed = [
        "data=mnist_5k",
        "metrics=none",
        "logger=none",
        "callbacks={}",
        "trainer.max_epochs=2",
        f"trainer.limit_train_batches={STEPS // 2}",
        "trainer.limit_val_batches=0",
        "trainer.enable_progress_bar=false",
    ]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [*fixed, *overrides])
    with tempfile.TemporaryDirectory() as directory:
        experiment, trainer = prepare(cfg, Path(directory), {})
        turns = TakeTurns(experiment, cfg.optimizer.lr)
        trainer.callbacks.insert(0, turns)
        trainer.fit(experiment.module, datamodule=experiment.data)
    framework = statistics.median(turns.framework[WARM_UP:])
    bare = statistics.median(turns.bare[WARM_UP:])
    print(f"train.py   {1000 * framework:8.2f} ms a step")
    print(f"bare loop  {1000 * bare:8.2f} ms a step")
    print(f"ratio      {framework / bare:8.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])

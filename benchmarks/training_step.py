"""What train.py costs over a bare PyTorch loop: the ratio of their times per step, in one run.

The same network, degradation, loss and optimiser on the same in-memory images; epochs of the two
take turns, and medians are compared. ``python benchmarks/training_step.py [override ...]``
"""

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

STEPS, REPETITIONS = 12, 5


class TakeTurns(pl.Callback):
    """Times each epoch of the trainer, and an equal number of bare steps after it."""

    def __init__(self, experiment: Experiment, learning_rate: float) -> None:
        self.experiment = experiment
        self.learning_rate = learning_rate
        self.framework: list[float] = []
        self.bare: list[float] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.start = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        synchronize()
        self.framework.append((time.perf_counter() - self.start) / STEPS)
        self.bare.append(self.time_bare_loop() / STEPS)

    def time_bare_loop(self) -> float:
        """Seconds of STEPS plain steps: index, degrade, predict, compare, step."""
        module, data = self.experiment.module, self.experiment.data
        restorer, images = module.restorer, data.train_images.to(module.device)
        degradation, network = restorer.degradation, restorer.network
        optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        order = torch.randperm(len(images), device=images.device)
        start = time.perf_counter()
        for index in order[: STEPS * data.batch_size].split(data.batch_size):
            x_0 = images[index].float() / 255 - 0.5
            t = torch.randint(1, degradation.num_steps + 1, (len(x_0),), device=x_0.device)
            noise = degradation.draw_noise(x_0)
            output = network(degradation(x_0, t, noise), t)
            target = restorer.prediction.target(x_0, noise, t, degradation)
            loss = module.objective.distance(output, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        synchronize()
        return time.perf_counter() - start


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
        f"trainer.max_epochs={REPETITIONS + 1}",
        f"trainer.limit_train_batches={STEPS}",
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
    framework = statistics.median(turns.framework[1:])
    bare = statistics.median(turns.bare[1:])
    ratios = [a / b for a, b in zip(turns.framework[1:], turns.bare[1:], strict=True)]
    print(f"train.py   {1000 * framework:8.2f} ms a step")
    print(f"bare loop  {1000 * bare:8.2f} ms a step")
    print(f"ratio      {statistics.median(ratios):8.3f}")
    print(f"each       {', '.join(f'{ratio:.3f}' for ratio in ratios)}")


if __name__ == "__main__":
    main(sys.argv[1:])

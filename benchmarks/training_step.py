"""What a step of train.py costs beside two loops written by hand, in one run.

*Bare* is the shortest PyTorch loop on the same in-memory images. *Starter* is the way tutorials
train: a torchvision data set, transforms image by image, a DataLoader, tqdm, ``loss.item()`` at
each step, and averaging of lines in a loop over images and lines. All three have the same network,
loss and optimiser and take turns step by step, so that they meet the same machine; medians are
compared. ``python benchmarks/training_step.py [override ...]``, such as ``model.hidden=[2]
model.kernel_size=3 data.batch_size=8`` for the network that is next to nothing.
"""

import copy
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.datasets import VisionDataset
from torchvision.transforms import Compose, Normalize, ToTensor
from tqdm import tqdm

from thaw.commands import config
from thaw.commands.app import CONF
from thaw.commands.train import prepare
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.training.experiment import Experiment

STEPS, WARM_UP = 60, 5
LIMIT = 1.02


class Images(VisionDataset):
    """What ``torchvision.datasets.MNIST`` is: a tensor, made a picture and a tensor again."""

    def __init__(self, images: Tensor) -> None:
        super().__init__("", transform=Compose([ToTensor(), Normalize((0.5,), (1.0,))]))
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self.images[index, 0].numpy(), mode="L")
        return self.transform(picture), 0


class Loop:
    """A network and an optimiser of its own; ``step`` of a batch is what every loop does."""

    def __init__(self, experiment: Experiment, learning_rate: float, device: torch.device) -> None:
        self.module = experiment.module
        self.batch_size = experiment.data.batch_size
        self.network: nn.Module = copy.deepcopy(experiment.restorer.network).to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=learning_rate)

    def step(self, x_0: Tensor, degrade: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
        """Degrade, predict, compare, step."""
        degradation = self.module.restorer.degradation
        t = torch.randint(1, degradation.num_steps + 1, (len(x_0),), device=x_0.device)
        noise = degradation.draw_noise(x_0)
        output = self.network(degrade(x_0, t, noise), t)
        target = self.module.restorer.prediction.target(x_0, noise, t, degradation)
        loss: Tensor = self.module.objective.distance(output, target).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss


class Bare(Loop):
    """Random batches by indexing the images where they are."""

    def __init__(self, experiment: Experiment, learning_rate: float, device: torch.device) -> None:
        super().__init__(experiment, learning_rate, device)
        self.images = experiment.data.train_images.to(device)

    def __call__(self) -> None:
        index = torch.randint(len(self.images), (self.batch_size,), device=self.images.device)
        x_0 = self.images[index].float() / 255 - 0.5
        self.step(x_0, self.module.restorer.degradation)


class Starter(Loop):
    """DataLoader, tqdm and a number at each step; lines are averaged one by one."""

    def __init__(self, experiment: Experiment, learning_rate: float, device: torch.device) -> None:
        super().__init__(experiment, learning_rate, device)
        self.device = device
        data = Images(experiment.data.train_images)
        self.loader = DataLoader(data, self.batch_size, shuffle=True, drop_last=True)
        self.batches: Iterator[list[Tensor]] = iter(())
        self.bar = tqdm(file=sys.stderr, disable=False)
        self.losses: list[float] = []

    def __call__(self) -> None:
        try:
            x_0, _ = next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            x_0, _ = next(self.batches)
        loss = self.step(x_0.to(self.device), self.degrade)
        self.losses.append(loss.item())
        self.bar.set_description(f"loss {statistics.fmean(self.losses[-100:]):.3g}")
        self.bar.update()

    def degrade(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """D(x_0, t); averaging as a loop over images and their lines."""
        degradation = self.module.restorer.degradation
        if not isinstance(degradation, LineAverage) or degradation.group_size > 1:
            return degradation(x_0, t, noise)
        order = degradation.step_of_line.argsort().tolist()
        x_t = x_0.clone()
        for image, step in zip(x_t, t.tolist(), strict=True):
            for line in order[:step]:
                values = image.select(degradation.line_dim - 1, line)
                values[:] = values.mean()
        return x_t


class TakeTurns(pl.Callback):
    """Times each step of the trainer, from the end of the one before, and one of each loop."""

    def __init__(self, experiment: Experiment, learning_rate: float) -> None:
        self.experiment = experiment
        self.learning_rate = learning_rate
        self.times: dict[str, list[float]] = {"train.py": [], "bare": [], "starter": []}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        made = (self.experiment, self.learning_rate, pl_module.device)
        self.loops: dict[str, Callable[[], None]] = {"bare": Bare(*made), "starter": Starter(*made)}
        self.last = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, *args: object) -> None:
        synchronize()
        self.times["train.py"].append(time.perf_counter() - self.last)
        for name, loop in self.loops.items():
            start = time.perf_counter()
            loop()
            synchronize()
            self.times[name].append(time.perf_counter() - start)
        self.last = time.perf_counter()


def synchronize() -> None:
    """Wait for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main(overrides: list[str]) -> None:
    """Print milliseconds a step of each, and the ratios."""
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
        # First, so that what the other callbacks do after a step counts as part of the next.
        trainer.callbacks.insert(0, turns)
        trainer.fit(experiment.module, datamodule=experiment.data)
    medians = {name: statistics.median(times[WARM_UP:]) for name, times in turns.times.items()}
    for name, median in medians.items():
        ratio = medians["train.py"] / median
        print(f"{name:9s} {1000 * median:8.2f} ms a step; train.py takes {ratio:.3f} of it")
    print(f"limits: {LIMIT} of bare (2 where the network is next to nothing), 1 of starter")


if __name__ == "__main__":
    main(sys.argv[1:])

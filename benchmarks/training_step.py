"""What a step and an epoch of train.py cost beside loops written by hand, and beside the limits.

*Bare* is the shortest PyTorch loop on the same in-memory images. *Starter* is the way tutorials
train: a torchvision data set, transforms image by image, a DataLoader, tqdm, ``loss.item()`` at
each step, and averaging of lines in a loop over images and lines. *Kept* is the bare loop that
keeps freed memory as train.py does. All have the same network and loss, and all but the starter
the run's optimiser. An epoch of train.py ends with its checkpoint, its files and TensorBoard's; the
loops do nothing there. The limits are the network's convolutions alone, and a product of large
matrices by torch and by numpy.
``python benchmarks/training_step.py [override ...]``, such as ``model.hidden=[2]
model.kernel_size=3 data.batch_size=8`` for the network that is next to nothing.
"""

import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from torchvision.datasets import VisionDataset
from torchvision.transforms import Compose, Normalize, ToTensor
from tqdm import tqdm
from turns import Round, ratio, train, work

from thaw.commands import config
from thaw.commands.app import CONF
from thaw.commands.malloc import keep_freed_memory
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.training.experiment import Experiment, build

ROUNDS, EPOCHS = 15, 3
LIMIT = 1.02
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SIDE = 2048


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

    def __init__(self, experiment: Experiment) -> None:
        self.module = experiment.module.to(DEVICE)
        self.batch_size = experiment.data.batch_size
        self.network = self.module.restorer.network
        self.optimizer = self.module.optimizer(self.network.parameters())

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

    def __init__(self, experiment: Experiment) -> None:
        super().__init__(experiment)
        self.images = experiment.data.train_images.to(DEVICE)

    def __call__(self) -> None:
        index = torch.randint(len(self.images), (self.batch_size,), device=self.images.device)
        x_0 = self.images[index].float() / 255 - 0.5
        self.step(x_0, self.module.restorer.degradation)


class Starter(Loop):
    """DataLoader, tqdm and a number at each step; lines are averaged one by one."""

    def __init__(self, experiment: Experiment) -> None:
        super().__init__(experiment)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=2e-4)
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
        loss = self.step(x_0.to(DEVICE), self.degrade)
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


class Convolutions:
    """The network's convolutions alone, forwards and backwards, on inputs of their own sizes."""

    def __init__(self, experiment: Experiment) -> None:
        loop = Bare(experiment)
        self.calls: list[tuple[nn.Conv2d, Tensor]] = []
        hooks = [
            layer.register_forward_hook(self.remember)
            for layer in loop.network.modules()
            if isinstance(layer, nn.Conv2d)
        ]
        loop()
        for hook in hooks:
            hook.remove()
        self.upstream = [layer(x).detach() for layer, x in self.calls]

    def remember(self, layer: nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> None:
        x = inputs[0]
        self.calls.append((layer, x.detach().requires_grad_(x.requires_grad)))

    def __call__(self) -> None:
        outputs = [layer(x) for layer, x in self.calls]
        torch.autograd.backward(outputs, self.upstream)
        for layer, x in self.calls:
            x.grad = None
            layer.zero_grad()


class Product:
    """One product of two large matrices; on a GPU in the type its matrix units are made for."""

    def __init__(self, experiment: Experiment) -> None:
        dtype = torch.bfloat16 if DEVICE.type == "cuda" else torch.float32
        self.factors = torch.randn(2, SIDE, SIDE, device=DEVICE, dtype=dtype)
        self.product = torch.empty(SIDE, SIDE, device=DEVICE, dtype=dtype)

    def __call__(self) -> None:
        torch.mm(*self.factors, out=self.product)


class NumpyProduct:
    """The same by numpy's library on the CPU, which may use wider instructions than torch's."""

    def __init__(self, experiment: Experiment) -> None:
        self.factors = torch.randn(2, SIDE, SIDE).numpy()
        self.product = self.factors[0].copy()

    def __call__(self) -> None:
        np.matmul(*self.factors, out=self.product)


CONTENDERS: dict[str, Callable[[Experiment], Callable[[], None]]] = {
    "bare": Bare,
    "kept": Bare,
    "starter": Starter,
    "convolutions": Convolutions,
    "product": Product,
    "numpy_product": NumpyProduct,
}
LOOPS = ("train.py", "bare", "kept", "starter")


def contend(name: str, overrides: list[str]) -> None:
    """One of the loops, in turns."""
    experiment = configured(overrides)
    experiment.data.setup()
    if name not in ("bare", "starter"):
        keep_freed_memory()
    piece = CONTENDERS[name](experiment)
    for _ in work():
        piece()


def configured(overrides: list[str]) -> Experiment:
    """What the overrides describe, no data read yet."""
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return build(compose("train", ["metrics=none", "logger=none", *overrides]), {})


def gigaflops(piece: Callable[[], None]) -> float:
    """What is computed, in 10^9 floating-point operations."""
    with FlopCounterMode(display=False) as counter:
        piece()
    return counter.get_total_flops() / 1e9


def main(overrides: list[str]) -> None:
    """Print what a step and an epoch of each take, the ratios, and the shares of the limits."""
    experiment = configured(overrides)
    experiment.data.setup()
    steps = len(experiment.data.train_images) // experiment.data.batch_size
    commands = {"train.py": train(*overrides)} | {
        name: ["benchmarks/training_step.py", name, *overrides] for name in CONTENDERS
    }
    with tempfile.TemporaryDirectory() as folder, Round(commands, Path(folder)) as contenders:
        contenders.warm_up()
        found = contenders.seconds(ROUNDS)
        for name in contenders.contenders.keys() - LOOPS:
            contenders.contenders.pop(name)
        epochs = contenders.seconds(EPOCHS, count=steps)
    print(f"{' '.join(overrides)}: batches of {experiment.data.batch_size}, {DEVICE}")
    for name in LOOPS:
        print(
            f"{name:9s} {1000 * statistics.median(found[name]):8.2f} ms a step; train.py takes "
            f"{ratio(found, 'train.py', name)} of it, an epoch of {steps} steps "
            f"{ratio(epochs, 'train.py', name)}"
        )
    print(f"limits: {LIMIT} of bare (2 where the network is next to nothing), 1 of starter")
    flops = gigaflops(Bare(experiment))
    rates = {
        "train.py": flops / statistics.median(found["train.py"]),
        "its convolutions alone": gigaflops(Convolutions(experiment))
        / statistics.median(found["convolutions"]),
        "a product by torch": 2 * SIDE**3 / 1e9 / statistics.median(found["product"]),
        "a product by numpy": 2 * SIDE**3 / 1e9 / statistics.median(found["numpy_product"]),
    }
    for name, rate in rates.items():
        print(f"{name:24s} {rate:8.1f} GFLOP/s ({rates['train.py'] / rate:.2f})")


if __name__ == "__main__":
    given = sys.argv[1:]
    if given[:1] and given[0] in CONTENDERS:
        contend(given[0], given[1:])
    else:
        main(given if any("data=" in each for each in given) else ["data=mnist_5k", *given])

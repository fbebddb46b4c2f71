"""What degrading costs: its time as a share of a training step of the study's CNN, in one run.

For each file in conf/degradation/ that fits the configured data: the noise of a batch is drawn and
the batch degraded, each image by its own number of steps. A step of the network (forward, backward,
Adam, without any degradation) and all degradations take turns, so that they meet the same machine,
and medians are compared. ``python benchmarks/degradations.py [override ...]``
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torch import Tensor

from thaw.commands import config
from thaw.commands.app import CONF
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.training.nodes import create

REPETITIONS, WARM_UP = 30, 3
LIMIT = 0.02
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def composed(overrides: list[str]) -> DictConfig:
    """train.yaml without scores."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", ["data=mnist_5k", "metrics=none", *overrides])


def all_degradations(overrides: list[str], images: Tensor) -> dict[str, Degradation]:
    """Those of conf/degradation/ that fit the data, by name, ready for use; says which do not."""
    found: dict[str, Degradation] = {}
    for path in sorted((CONF / "degradation").glob("*.yaml")):
        cfg = composed([f"degradation={path.stem}", *overrides])
        data = create(cfg.data)
        context = {"image_shape": data.image_shape, "pixel_range": data.pixel_range}
        try:
            degradation = create(cfg.degradation, **context)
        except ValueError as refusal:
            print(f"left out: {refusal}")
            continue
        degradation.fit(images)
        found[path.stem] = degradation.to(DEVICE)
    return found


def training_step(cfg: DictConfig, x_0: Tensor) -> Callable[[], None]:
    """One of the network alone, on a batch that is degraded already."""
    network = create(cfg.model, image_shape=x_0.shape[1:], num_steps=100).to(DEVICE)
    optimizer = create(cfg.optimizer)(network.parameters())
    t = torch.randint(1, 101, (len(x_0),), device=DEVICE)

    def step() -> None:
        optimizer.zero_grad()
        (network(x_0, t) - x_0).abs().mean().backward()
        optimizer.step()

    return step


def degrading(degradation: Degradation, x_0: Tensor) -> Callable[[], None]:
    """Noise and x_t, as the objective asks for them."""
    t = torch.randint(1, degradation.num_steps + 1, (len(x_0),), device=DEVICE)
    return lambda: degradation(x_0, t, degradation.draw_noise(x_0))


def medians(tasks: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Seconds of each task; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(WARM_UP + REPETITIONS):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            if DEVICE == "cuda":
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(each[WARM_UP:]) for name, each in times.items()}


def main(overrides: list[str]) -> None:
    """Print milliseconds of each, their shares, and whether averaging stays within the limit."""
    config.register()
    cfg = composed(overrides)
    data = create(cfg.data)
    data.setup()
    degradations = all_degradations(overrides, data.train_images)
    x_0 = data.pixel_range.from_uint8(data.train_images[: data.batch_size].to(DEVICE))
    tasks = {"training step": training_step(cfg, x_0)}
    tasks |= {name: degrading(each, x_0) for name, each in degradations.items()}
    times = medians(tasks)
    whole = times["training step"]
    for name, seconds in times.items():
        print(f"{name:22} {1000 * seconds:8.2f} ms a batch of {len(x_0)}  {seconds / whole:8.2%}")
    averaging = [name for name, each in degradations.items() if isinstance(each, LineAverage)]
    slowest = max(times[name] for name in averaging) / whole
    verdict = "under" if slowest < LIMIT else "NOT under"
    print(f"averaging lines costs at most {slowest:.2%} of a training step: {verdict} {LIMIT:.0%}")


if __name__ == "__main__":
    main(sys.argv[1:])

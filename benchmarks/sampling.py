"""Images per second of thaw's ancestral sampler against diffusers' DDPMPipeline, in one run.

The same untrained network and the same number of steps; the two take turns, so that they meet the
same machine, and medians are compared. The share of the time that the network alone takes (in the
pieces that thaw asks it) is the limit of what a sampler can do about it.
``python benchmarks/sampling.py [num_images [override ...]]``
"""

import statistics
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace

import torch
from diffusers import DDPMPipeline, DDPMScheduler
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

from thaw.commands import config
from thaw.commands.app import CONF
from thaw.diffusion.generation import generate
from thaw.training.experiment import Experiment, build

REPETITIONS, NUM_STEPS = 5, 10
LIMIT = 1.2
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class AsUNet(nn.Module):
    """A network of thaw's as the pipeline wants one: times from 0, the answer in ``sample``."""

    def __init__(self, network: nn.Module, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.network = network
        channels, size, _ = image_shape
        self.config = SimpleNamespace(in_channels=channels, sample_size=size)
        self.dtype, self.device = torch.float32, torch.device(DEVICE)

    def forward(self, x_t: Tensor, t: Tensor) -> SimpleNamespace:
        steps = (t + 1).expand(len(x_t)).to(x_t.device)
        return SimpleNamespace(sample=self.network(x_t, steps))


def seconds(work: Callable[[], object]) -> float:
    """How long ``work`` takes, with what it left to the GPU."""
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def contenders(experiment: Experiment, num_images: int) -> dict[str, Callable[[], object]]:
    """What is timed, by name; each makes ``num_images`` images or does a network's part of it."""
    module, restorer = experiment.module, experiment.restorer
    restorer.to(DEVICE).eval()
    schedule = DDPMScheduler(num_train_timesteps=restorer.degradation.num_steps)
    unet = AsUNet(restorer.network, experiment.data.image_shape)
    pipeline = DDPMPipeline(unet=unet, scheduler=schedule).to(DEVICE)
    pipeline.set_progress_bar_config(disable=True)
    x_t = torch.randn(num_images, *experiment.data.image_shape, device=DEVICE)
    t = torch.full((num_images,), 10, device=DEVICE)

    def ours() -> None:
        for _ in generate(restorer, experiment.sampler, module.prior, num_images, num_images, 0):
            pass

    def theirs() -> None:
        pipeline(batch_size=num_images, num_inference_steps=NUM_STEPS, output_type="np")

    def network() -> None:
        with torch.inference_mode():
            for _ in range(NUM_STEPS):
                restorer.pieces(restorer.network, x_t, t)

    return {"thaw": ours, "diffusers": theirs, "network alone": network}


def main(num_images: int, overrides: list[str]) -> None:
    """Print images per second of each, and the ratio."""
    config.register()
    fixed = ["data=mnist_5k", "metrics=none", "logger=none", "callbacks={}", "sampler=ancestral"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [*fixed, f"sampler.num_steps={NUM_STEPS}", *overrides])
    torch.manual_seed(0)
    works = contenders(build(cfg, {}), num_images)
    times: dict[str, list[float]] = {name: [] for name in works}
    for repetition in range(REPETITIONS + 1):
        for name, work in works.items():
            spent = seconds(work)
            if repetition:
                times[name].append(spent)
    rates = {name: num_images / statistics.median(spent) for name, spent in times.items()}
    for name, rate in rates.items():
        print(f"{name:14s} {rate:8.1f} images/s in {NUM_STEPS} steps, {num_images} images")
    print(f"ratio          {rates['thaw'] / rates['diffusers']:8.2f} (at least {LIMIT})")
    print(f"of the network {rates['thaw'] / rates['network alone']:8.1%}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 256, sys.argv[2:])

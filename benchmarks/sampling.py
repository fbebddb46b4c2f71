"""Images per second of thaw's ancestral sampler against diffusers' DDPMPipeline.

The same untrained network and the same number of steps, each in a process of its own, in turns. The
share of the time that the network alone takes (in the pieces that thaw asks it) is the limit of
what a sampler can do about it.
``python benchmarks/sampling.py [override ...]``, such as ``metrics.batch_size=64 model=unet``.
"""

import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch
from diffusers import DDPMPipeline, DDPMScheduler
from hydra import compose, initialize_config_dir
from torch import Tensor, nn
from turns import Round, ratio, work

from thaw.commands import config
from thaw.commands.app import CONF
from thaw.commands.malloc import keep_freed_memory
from thaw.diffusion.generation import generate
from thaw.training.experiment import Experiment, build, compile_networks

# Some processes are a fifth slower all their life, page faults or none: so several of each.
PROCESSES, ROUNDS, NUM_STEPS = 3, 5, 10
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


def thaw(experiment: Experiment, num_images: int) -> Callable[[], object]:
    """A batch of images as every command of thaw makes them."""
    keep_freed_memory()
    model, prior = experiment.restorer, experiment.module.prior
    return lambda: list(generate(model, experiment.sampler, prior, num_images, num_images, seed=0))


def diffusers(experiment: Experiment, num_images: int) -> Callable[[], object]:
    """A batch by the pipeline."""
    restorer = experiment.restorer
    schedule = DDPMScheduler(num_train_timesteps=restorer.degradation.num_steps)
    unet = AsUNet(restorer.network, experiment.data.image_shape)
    pipeline = DDPMPipeline(unet=unet, scheduler=schedule).to(DEVICE)
    pipeline.set_progress_bar_config(disable=True)
    return lambda: pipeline(batch_size=num_images, num_inference_steps=NUM_STEPS, output_type="np")


def compiled(experiment: Experiment, num_images: int) -> Callable[[], object]:
    """A batch of thaw's with compile=true."""
    compile_networks(experiment, torch.device(DEVICE))
    return thaw(experiment, num_images)


def network(experiment: Experiment, num_images: int) -> Callable[[], object]:
    """What the network does for a batch of thaw's."""
    keep_freed_memory()
    restorer = experiment.restorer
    x_t = torch.randn(num_images, *experiment.data.image_shape, device=DEVICE)
    t = torch.full((num_images,), 10, device=DEVICE)

    def ask() -> None:
        with torch.inference_mode():
            for _ in range(NUM_STEPS):
                restorer.chunked(restorer.network, x_t, t)

    return ask


CONTENDERS = {each.__name__: each for each in (thaw, diffusers, compiled, network)}


def contend(name: str, overrides: list[str]) -> None:
    """One of them, in turns."""
    config.register()
    fixed = ["data=mnist_5k", "logger=none", "callbacks={}", "sampler=ancestral"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [*fixed, f"sampler.num_steps={NUM_STEPS}", *overrides])
    experiment = build(cfg, {})
    experiment.restorer.to(DEVICE).eval()
    piece = CONTENDERS[name](experiment, cfg.metrics.batch_size)
    for _ in work():
        piece()


def main(overrides: list[str]) -> None:
    """Print images per second of each, and the ratios, for batches of several sizes."""
    has_size = any(each.startswith("metrics.batch_size=") for each in overrides)
    for size in [""] if has_size else ["64", "256", "500"]:
        chosen = [*overrides, f"metrics.batch_size={size}"] if size else overrides
        commands = {name: ["benchmarks/sampling.py", name, *chosen] for name in CONTENDERS}
        found: dict[str, list[float]] = {name: [] for name in CONTENDERS}
        for _ in range(PROCESSES):
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                with Round(commands, folder) as contenders:
                    contenders.warm_up(2)
                    for name, spent in contenders.seconds(ROUNDS).items():
                        found[name] += spent
        print(f"{' '.join(chosen)}, {NUM_STEPS} steps, {DEVICE}")
        for name, spent in found.items():
            print(f"  {name:10s} {1000 * statistics.median(spent):8.1f} ms a batch")
        print(
            f"  thaw's rate: {ratio(found, 'diffusers', 'thaw')} of diffusers' (at least {LIMIT})"
        )
        print(f"               {ratio(found, 'network', 'thaw')} of what the network allows")
        print(f"  compiled:    {ratio(found, 'thaw', 'compiled')} of thaw's rate")


if __name__ == "__main__":
    given = sys.argv[1:]
    if given[:1] and given[0] in CONTENDERS:
        contend(given[0], given[1:])
    else:
        main(given)

"""What a per-epoch evaluation costs: its time as a share of an epoch of 60,000 images, in one run.

Training steps and whole evaluations (sampling, encoding, scores) of the configured model take
turns. ``python benchmarks/evaluation.py [override ...]``
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from hydra import compose, initialize_config_dir

from thaw.commands import config
from thaw.commands.app import CONF
from thaw.commands.malloc import keep_freed_memory
from thaw.diffusion.generation import generate
from thaw.seeding import generator
from thaw.training.training import Training

STEPS, REPETITIONS, STEPS_AN_EPOCH = 15, 2, 468


def main(overrides: list[str]) -> None:
    """Print seconds of an epoch and of an evaluation, and their ratio."""
    config.register()
    keep_freed_memory()
    fixed = ["data=mnist_5k", "logger=none", "callbacks={}", "trainer.enable_progress_bar=false"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [*fixed, *overrides])
    with tempfile.TemporaryDirectory() as directory:
        training = Training(cfg, Path(directory))
        training.read_data()
        training.prepare()
    experiment = training.experiment
    module, suite = experiment.module, experiment.suite
    assert suite is not None
    optimizer = module.optimizer(module.restorer.network.parameters())
    x_0 = module.restorer.pixel_range.from_uint8(experiment.data.train_images[:128])
    ratios = []
    for repetition in range(REPETITIONS + 1):
        start = time.perf_counter()
        for step in range(STEPS):
            optimizer.zero_grad()
            module.objective(module.restorer, x_0, generator(0, repetition, step)).backward()
            optimizer.step()
        epoch_s = (time.perf_counter() - start) / STEPS * STEPS_AN_EPOCH
        start = time.perf_counter()
        suite.reset()
        for images in generate(
            module.restorer,
            experiment.score_sampler,
            module.prior,
            cfg.metrics.num_samples,
            cfg.metrics.batch_size,
            0,
        ):
            suite.update(module.restorer.pixel_range.to_uint8(images))
        suite.compute()
        score_s = time.perf_counter() - start
        if repetition > 0:  # the first warms up
            ratios.append((score_s / epoch_s, score_s, epoch_s))
    ratio, score_s, epoch_s = (statistics.median(column) for column in zip(*ratios, strict=True))
    how = experiment.score_sampler.describe(module.restorer.degradation)
    print(f"epoch of 60,000 images     {epoch_s:8.1f} s")
    print(f"evaluation, {cfg.metrics.num_samples} samples   {score_s:8.1f} s  ({how})")
    print(f"ratio                      {ratio:8.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])

"""python sample.py task=generate: images from the prior, and how they come about."""

import logging
import re
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from thaw import storage
from thaw.commands import classes
from thaw.commands.errors import InputError
from thaw.diffusion.generation import draw_labels, generate
from thaw.diffusion.inference import evaluating
from thaw.reporting.images import grid, save_animation, save_png
from thaw.seeding import generator
from thaw.training.loading import LoadedRun
from thaw.training.scoring_generated import sampling, warn_of_misfit

log = logging.getLogger(__name__)
MAX_IN_GRID = 100
NUM_ANIMATED = 16
NUM_FRAMES = 60


def check_keys(cfg: DictConfig) -> None:
    """Refuse the keys of the other task.

    Raises:
        InputError: naming them.
    """
    if cfg.images is not None or cfg.t is not None or cfg.degraded or cfg.refine:
        raise InputError(
            "images=, t=, degraded= and refine= belong to task=restore (a last pass over what is "
            "generated is sampler.refine=true)"
        )


def to_do(cfg: DictConfig) -> str:
    """The task in words."""
    return f"generate {cfg.num_samples:,} images"


def prepare(run: LoadedRun, cfg: DictConfig) -> Tensor | None:
    """The class of each image, int64 ``[N]``: ``digit``, else drawn; None without classes.

    Raises:
        InputError, ValueError: as :func:`classes.chosen`.
    """
    if cfg.digit is None:
        return draw_labels(run.experiment.restorer, cfg.num_samples, cfg.seed)
    return classes.chosen(run, cfg, cfg.num_samples)


def folder(run: LoadedRun, cfg: DictConfig) -> str:
    """The folder in a run's directory."""
    prior = re.sub(r"[^\w.]+", "-", run.prior)
    name = f"{prior}_seed_{cfg.seed}" if prior else f"seed_{cfg.seed}"
    return f"generated/{classes.folder(cfg)}{name}"


def write(run: LoadedRun, labels: Tensor | None, out: Path, cfg: DictConfig) -> None:
    """grid.png, images/00000.png ..., samples.npz and the animation.

    The arrays are ``images``, uint8 ``[N, H, W, C]``, and of a class-conditional model ``labels``,
    int64 ``[N]``.
    """
    experiment, size = run.experiment, (cfg.num_samples, cfg.batch_size)
    restorer, sampler = experiment.restorer, experiment.sampler
    how = sampler.describe(restorer.degradation)
    log.info("%s: %d images, %s", run.run_dir, cfg.num_samples, how)
    warn_of_misfit(experiment)
    with sampling(f"generating {cfg.num_samples:,} images", restorer, sampler, *size):
        batches = generate(restorer, sampler, experiment.module.prior, *size, cfg.seed, labels)
        images = torch.cat([restorer.pixel_range.to_uint8(x_0).cpu() for x_0 in batches])
    save_png(grid(images[:MAX_IN_GRID]), out / "grid.png")
    for number, image in enumerate(images):
        save_png(image, out / "images" / f"{number:05d}.png")
    arrays = {"images": images.permute(0, 2, 3, 1).numpy()}
    if labels is not None:
        arrays["labels"] = labels.numpy()
    with storage.writing(out / "samples.npz"):
        np.savez_compressed(out / "samples.npz", allow_pickle=False, **arrays)
    if cfg.animation:
        save_animation(_frames(run, labels, cfg), out / f"reverse_process.{cfg.animation}")


def _frames(run: LoadedRun, labels: Tensor | None, cfg: DictConfig) -> list[Tensor]:
    restorer, prior = run.experiment.restorer, run.experiment.module.prior
    sampler = run.experiment.sampler
    draws = generator(cfg.seed, "animation", device=restorer.device)
    count = min(NUM_ANIMATED, cfg.num_samples)
    with evaluating(restorer), sampling("the animation", restorer, sampler, count, count):
        shown = None if labels is None else labels[:count].to(restorer.device)
        x_T, noise = prior.draw(count, restorer.degradation, draws, shown)
        states = [
            restorer.pixel_range.to_uint8(state.x_t).cpu()
            for state in sampler.trajectory(restorer, x_T, noise, draws, labels=shown)
        ]
    kept = np.unique(np.linspace(0, len(states) - 1, NUM_FRAMES).round().astype(int))
    return [grid(states[k]) for k in kept]

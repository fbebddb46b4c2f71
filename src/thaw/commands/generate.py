"""python sample.py task=generate: images from the prior, and how they come about."""

import logging
import re
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from annotated_types import Interval
from omegaconf import DictConfig, ListConfig
from torch import Tensor

from thaw import storage
from thaw.checks import check
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
    """Refuse the keys of the other task."""
    if cfg.images is not None or cfg.t is not None or cfg.degraded or cfg.refine:
        raise InputError(
            "images=, t=, degraded= and refine= belong to task=restore (a last pass over what is "
            "generated is sampler.refine=true)"
        )


def to_do(cfg: DictConfig) -> str:
    """The task in words."""
    return f"generate {cfg.num_samples:,} images"


def prepare(run: LoadedRun, cfg: DictConfig) -> Tensor | None:
    """The class of each image, int64 ``[N]``: ``digit``, else drawn; None without classes."""
    if cfg.digit is None:
        return draw_labels(run.experiment.restorer, cfg.num_samples, cfg.seed)
    return chosen_classes(run, cfg, cfg.num_samples)


def folder(run: LoadedRun, cfg: DictConfig) -> str:
    """The folder in a run's directory."""
    prior = re.sub(r"[^\w.]+", "-", run.prior)
    name = f"{prior}_seed_{cfg.seed}" if prior else f"seed_{cfg.seed}"
    return f"generated/{class_folder(cfg)}{name}"


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


def chosen_classes(run: LoadedRun, cfg: DictConfig, num_images: int) -> Tensor:
    """The class of each image, int64 ``[N]``: that of ``digit``, or its classes in turn."""
    restorer = run.experiment.restorer
    if restorer.num_classes is None:
        raise InputError(
            f"digit={cfg.digit} needs a class-conditional model, and {run.run_dir} has none; "
            "train.py trains one with, for ten classes, model.num_classes=10"
        )
    classes = _classes(cfg)
    allowed = Annotated[int, Interval(ge=0, le=restorer.num_classes - 1)]
    for label in classes:
        check("digit (or label)", label, allowed)
        if not restorer.class_frequencies[label]:
            raise InputError(f"digit={label}: {run.run_dir} was trained on no image of that class")
    return torch.tensor(classes)[torch.arange(num_images) % len(classes)]


def class_folder(cfg: DictConfig) -> str:
    """What the name of a folder begins with, such as ``digit_7_``; empty without ``digit``."""
    return "" if cfg.digit is None else f"digit_{'-'.join(map(str, _classes(cfg)))}_"


def _classes(cfg: DictConfig) -> list[int]:
    several = isinstance(cfg.digit, ListConfig) and len(cfg.digit) > 0
    return list(cfg.digit) if several else [cfg.digit]

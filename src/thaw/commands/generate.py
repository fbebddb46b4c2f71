"""python sample.py task=generate: images from the prior, and how they come about."""

import logging
import re
from pathlib import Path

import numpy as np
from omegaconf import DictConfig, ListConfig
from torch import Tensor

from thaw import storage
from thaw.commands.errors import InputError, as_input_errors
from thaw.diffusion.generation import draw_labels
from thaw.reporting.images import grid, save_animation, save_png
from thaw.seeding import generator
from thaw.training.generating import generated_images, generated_states, labels_in_turn
from thaw.training.loading import LoadedRun
from thaw.training.scoring_generated import warn_of_misfit

log = logging.getLogger(__name__)
MAX_IN_GRID = 100
NUM_ANIMATED = 16
NUM_FRAMES = 60


def check_keys(cfg: DictConfig) -> None:
    """Refuse the keys of the other task."""
    of_rival = (cfg.against, cfg.methods, *cfg.zero_shot.values())
    others = (cfg.images, cfg.partners, cfg.t, *of_rival)
    if any(each is not None for each in others) or cfg.degraded or cfg.refine:
        raise InputError(
            "images=, partners=, t=, degraded=, refine=, against=, methods= and zero_shot belong "
            "to task=restore (a last pass over what is generated is sampler.refine=true)"
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
    experiment = run.experiment
    how = experiment.sampler.describe(experiment.restorer.degradation)
    log.info("%s: %d images, %s", run.run_dir, cfg.num_samples, how)
    warn_of_misfit(experiment)
    images = generated_images(experiment, cfg.num_samples, cfg.batch_size, cfg.seed, labels)
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
    draws = generator(cfg.seed, "animation", device=run.experiment.restorer.device)
    count = min(NUM_ANIMATED, cfg.num_samples)
    shown = None if labels is None else labels[:count]
    states = generated_states(run.experiment, count, draws, shown)
    kept = np.unique(np.linspace(0, len(states) - 1, NUM_FRAMES).round().astype(int))
    return [grid(states[k].x_t) for k in kept]


def chosen_classes(run: LoadedRun, cfg: DictConfig, num_images: int) -> Tensor:
    """The class of each image, int64 ``[N]``: that of ``digit``, or its classes in turn."""
    digit = list(cfg.digit) if isinstance(cfg.digit, ListConfig) else cfg.digit
    with as_input_errors():
        return labels_in_turn(run.experiment.restorer, digit, num_images, run.run_dir)


def class_folder(cfg: DictConfig) -> str:
    """What the name of a folder begins with, such as ``digit_7_``; empty without ``digit``."""
    return "" if cfg.digit is None else f"digit_{'-'.join(map(str, _classes(cfg)))}_"


def _classes(cfg: DictConfig) -> list[int]:
    several = isinstance(cfg.digit, ListConfig) and len(cfg.digit) > 0
    return list(cfg.digit) if several else [cfg.digit]

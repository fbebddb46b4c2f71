"""python sample.py: images that a run makes of nothing, or (task=restore) of degraded ones."""

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from thaw import storage
from thaw.checks import check_choice, check_whole
from thaw.commands import classes, restore
from thaw.commands.errors import as_input_errors
from thaw.commands.loaded import load_all
from thaw.commands.selection import folders_of
from thaw.diffusion.generation import describe, draw_labels, generate
from thaw.diffusion.guidance import guided
from thaw.reporting.images import grid, save_animation, save_png
from thaw.seeding import generator
from thaw.training.estimate import sampling, warn_of_misfit
from thaw.training.loading import LoadedRun

log = logging.getLogger(__name__)
MAX_IN_GRID = 100
NUM_ANIMATED = 16
NUM_FRAMES = 60


def main(cfg: DictConfig) -> None:
    """Sample each selected run, or restore by it, into ``out``, a folder a run where several are.

    Raises:
        InputError: the configuration, a run or a file is not what it should be.
    """
    with as_input_errors():
        _check_keys(cfg)
        task = TASKS[cfg.task]
        loaded = load_all(cfg, task.to_do(cfg))
        outs = _outs(loaded, cfg)
        for run, out in zip(loaded, outs, strict=True):
            storage.check_no_links(run.run_dir, out)
        selected = [(run, task.prepare(run, cfg)) for run in loaded]
    for (run, prepared), out in zip(selected, outs, strict=True):
        task.write(run, prepared, out, cfg)
        log.info("written to  %s", out)


def check(cfg: DictConfig) -> list[Path]:
    """Refuse what cannot be sampled, as far as that takes neither data nor weights.

    Returns:
        The folders that would be written into.

    Raises:
        ValueError: naming what is wrong.
    """
    _check_keys(cfg)
    loaded = load_all(cfg, TASKS[cfg.task].to_do(cfg), for_use=False)
    if cfg.task == "generate":
        for run in loaded:
            labels_of(run, cfg)
    return _outs(loaded, cfg)


def _check_keys(cfg: DictConfig) -> None:
    check_choice("task", cfg.task, TASKS)
    check_whole("num_samples", cfg.num_samples)
    check_whole("batch_size", cfg.batch_size)
    restore.check_keys(cfg)


def _outs(loaded: list[LoadedRun], cfg: DictConfig) -> list[Path]:
    """The folder of each run."""
    if not cfg.out:
        return [run.run_dir / TASKS[cfg.task].folder(run, cfg) for run in loaded]
    if len(loaded) == 1:
        return [Path(cfg.out)]
    return [Path(cfg.out) / name for name in folders_of([run.run_dir for run in loaded])]


def _to_do(cfg: DictConfig) -> str:
    return f"generate {cfg.num_samples:,} images"


def labels_of(run: LoadedRun, cfg: DictConfig) -> Tensor | None:
    """The class of each image, int64 ``[N]``: ``digit``, else drawn; None where there are none.

    Raises:
        InputError, ValueError: what :func:`classes.asked` refuses.
    """
    if cfg.digit is None:
        return draw_labels(run.experiment.restorer, cfg.num_samples, cfg.seed)
    return classes.asked(run, cfg, cfg.num_samples)


def _folder(run: LoadedRun, cfg: DictConfig) -> str:
    prior = re.sub(r"[^\w.]+", "-", run.prior)
    name = f"{prior}_seed_{cfg.seed}" if prior else f"seed_{cfg.seed}"
    return f"generated/{classes.folder(cfg)}{name}"


def write_samples(run: LoadedRun, labels: Tensor | None, out: Path, cfg: DictConfig) -> None:
    """grid.png, images/00000.png ..., samples.npz and the animation.

    The arrays are ``images``, uint8 ``[N, H, W, C]``, and of a class-conditional model ``labels``,
    int64 ``[N]``.
    """
    experiment = run.experiment
    restorer, sampler, prior = experiment.restorer, experiment.sampler, experiment.module.prior
    log.info("%s: %d images, %s", run.run_dir, cfg.num_samples, describe(restorer, sampler))
    warn_of_misfit(experiment)
    batches = generate(restorer, sampler, prior, cfg.num_samples, cfg.batch_size, cfg.seed, labels)
    what = f"generating {cfg.num_samples:,} images"
    with sampling(what, restorer, sampler, cfg.num_samples, cfg.batch_size):
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
    device = next(restorer.network.parameters()).device
    draws = generator(cfg.seed, "animation", device=device)
    count = min(NUM_ANIMATED, cfg.num_samples)
    with torch.inference_mode(), sampling("the animation", restorer, sampler, count, count):
        shown = None if labels is None else labels[:count].to(device)
        x_T, noise = prior.draw(count, restorer.degradation, draws, shown)
        model = guided(restorer, shown, sampler.guidance)
        states = [
            restorer.pixel_range.to_uint8(state.x_t).cpu()
            for state in sampler.trajectory(model, x_T, noise, draws)
        ]
    kept = np.unique(np.linspace(0, len(states) - 1, NUM_FRAMES).round().astype(int))
    return [grid(states[k]) for k in kept]


class Task(NamedTuple):
    """What it does in words, what can fail before any work, the work, and the folder of what it
    writes in a run's own."""

    to_do: Callable[[DictConfig], str]
    prepare: Callable[[LoadedRun, DictConfig], Any]
    write: Callable[[LoadedRun, Any, Path, DictConfig], None]
    folder: Callable[[LoadedRun, DictConfig], str]


TASKS = {
    "generate": Task(_to_do, labels_of, write_samples, _folder),
    "restore": Task(restore.to_do, restore.prepare, restore.write_restored, restore.folder),
}

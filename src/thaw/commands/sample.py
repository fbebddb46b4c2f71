"""python sample.py: images of a run, as PNG, as arrays, and as an animation of their making."""

import logging
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig

from thaw.checks import check_whole
from thaw.commands.errors import as_input_errors
from thaw.commands.selection import load_all
from thaw.diffusion.generation import generate
from thaw.reporting.images import grid, save_animation, save_png
from thaw.seeding import generator
from thaw.training.loading import LoadedRun

log = logging.getLogger(__name__)
MAX_IN_GRID = 100
NUM_ANIMATED = 16
NUM_FRAMES = 60


def main(cfg: DictConfig) -> None:
    """Sample each selected run into ``out`` (a folder a run where there are several).

    Raises:
        InputError: the configuration or a run is not what it should be.
    """
    with as_input_errors():
        check_whole("num_samples", cfg.num_samples)
        check_whole("batch_size", cfg.batch_size)
        selected = load_all(cfg)
    for run in selected:
        out = Path(cfg.out) if cfg.out else run.run_dir / "generated" / f"seed_{cfg.seed}"
        if cfg.out and len(selected) > 1:
            out = out / run.run_dir.name
        write_samples(run, out, cfg)
        log.info("samples     %s", out)


def write_samples(run: LoadedRun, out: Path, cfg: DictConfig) -> None:
    """grid.png, images/00000.png ..., samples.npz (uint8 ``[N, H, W, C]``) and the animation."""
    experiment = run.experiment
    restorer = experiment.restorer
    sampler = experiment.sampler
    how = sampler.describe(restorer.degradation)
    log.info("%s: %d images, %s", run.run_dir, cfg.num_samples, how)
    batches = generate(
        restorer, sampler, experiment.module.prior, cfg.num_samples, cfg.batch_size, cfg.seed
    )
    images = torch.cat([restorer.pixel_range.to_uint8(x_0).cpu() for x_0 in batches])
    save_png(grid(images[:MAX_IN_GRID]), out / "grid.png")
    for number, image in enumerate(images):
        save_png(image, out / "images" / f"{number:05d}.png")
    np.savez_compressed(out / "samples.npz", images=images.permute(0, 2, 3, 1).numpy())
    if cfg.animation:
        save_animation(_frames(run, cfg), out / f"reverse_process.{cfg.animation}")


def _frames(run: LoadedRun, cfg: DictConfig) -> list[torch.Tensor]:
    restorer, prior = run.experiment.restorer, run.experiment.module.prior
    draws = generator(cfg.seed, "animation", device=next(restorer.parameters()).device)
    with torch.inference_mode():
        count = min(NUM_ANIMATED, cfg.num_samples)
        x_T, noise = prior.draw(count, restorer.degradation, draws)
        states = [
            restorer.pixel_range.to_uint8(state.x_t).cpu()
            for state in run.experiment.sampler.trajectory(restorer, x_T, noise, draws)
        ]
    kept = np.unique(np.linspace(0, len(states) - 1, NUM_FRAMES).round().astype(int))
    return [grid(states[k]) for k in kept]

"""Test images degraded all the way and restored: what it looks like, and how close it comes."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from thaw import runs
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Sampler
from thaw.metrics.restoration import RestorationScores
from thaw.reporting.panels import STAGES, restoration_figure
from thaw.reporting.style import save_figure
from thaw.seeding import generator
from thaw.training.estimate import affordable
from thaw.training.experiment import Experiment

log = logging.getLogger(__name__)
NUM_SHOWN = 8


def restorations(
    restorer: Restorer, sampler: Sampler, images: Tensor, batch_size: int, seed: int
) -> Iterator[dict[str, Tensor]]:
    """Batches of x_0, x_T, R(x_T, T) and what the sampler makes of x_T.

    Args:
        restorer: the model.
        sampler: how ``sampled`` is made from x_T.
        images: originals, uint8 ``[N, C, H, W]``.
        batch_size: images at once.
        seed: of the degradation's noise and the sampler's.

    Yields:
        ``original degraded direct sampled``, each ``[B, C, H, W]`` in the restorer's range.
    """
    device = next(restorer.network.parameters()).device
    degradation = restorer.degradation
    for number, batch in enumerate(images.split(batch_size)):
        draws = generator(seed, "restore", number, device=device)
        x_0 = restorer.pixel_range.from_uint8(batch.to(device))
        noise = degradation.draw_noise(x_0, draws)
        last = torch.full((len(x_0),), degradation.num_steps, device=device)
        with torch.inference_mode():
            x_T = degradation(x_0, last, noise)
            direct = restorer(x_T, last, noise)
            sampled = sampler.sample(restorer, x_T, noise, draws)
        yield dict(zip(STAGES, (x_0, x_T, direct, sampled), strict=True))


def restoration_scores(
    restorer: Restorer, sampler: Sampler, images: Tensor, batch_size: int, seed: int
) -> dict[str, Any]:
    """PSNR, SSIM and RMSE of each stage against the originals; arguments as ``restorations``."""
    device = next(restorer.network.parameters()).device
    scores = {name: RestorationScores(restorer.pixel_range).to(device) for name in STAGES[1:]}
    for stages in restorations(restorer, sampler, images, batch_size, seed):
        for name, score in scores.items():
            score.update(stages[name], stages["original"])
    return {name: score.compute() for name, score in scores.items()} | {
        "n": len(images),
        "sampler": sampler.describe(restorer.degradation),
        "images": "test images, degraded all the way and restored",
    }


def final_restoration(
    experiment: Experiment, metrics: DictConfig, run_dir: Path, seed: int, epoch: int
) -> None:
    """Restore the first ``metrics.num_restored`` test images: scores, and eight of them as figure.

    The figure goes to ``figures/restoration.png``, its images to ``restoration.npz`` beside it
    (uint8 ``[N, C, H, W]`` a stage), the scores to run.json and the log. Noise destroys the image,
    so a Gaussian model has the figure alone. Nothing is done where ``num_restored`` is 0, or where
    this epoch's restoration is in run.json already.
    """
    done = runs.read_record(run_dir).get("restoration") or {}
    if not metrics.num_restored or done.get("epoch") == epoch:
        return
    restorer = experiment.restorer
    sampler = affordable(experiment.sampler, restorer)
    images = experiment.data.test_images[: metrics.num_restored]
    _save_shown(restorer, sampler, images[:NUM_SHOWN], run_dir, seed)
    result: dict[str, Any] = {"epoch": epoch, "sampler": sampler.describe(restorer.degradation)}
    if not isinstance(restorer.degradation, Gaussian):
        result |= restoration_scores(restorer, sampler, images, metrics.batch_size, seed)
        for line in in_lines(result):
            log.info(line)
    runs.update_record(run_dir, {"restoration": result})


def in_lines(scores: dict[str, Any]) -> list[str]:
    """A line a stage: its scores and N."""
    return [
        f"restored, {name:8}  PSNR {scores[name]['psnr']:5.2f} dB  "
        f"SSIM {scores[name]['ssim']:.3f}  RMSE {scores[name]['rmse']:.4f}  "
        f"N {scores['n']} test images"
        for name in STAGES[1:]
    ]


def _save_shown(
    restorer: Restorer, sampler: Sampler, images: Tensor, run_dir: Path, seed: int
) -> None:
    (stages,) = restorations(restorer, sampler, images, len(images), seed)
    shown = {name: restorer.pixel_range.to_uint8(stage).cpu() for name, stage in stages.items()}
    save_figure(restoration_figure([("", shown)]), run_dir / runs.FIGURES / "restoration.png")
    arrays = {name: stage.numpy() for name, stage in shown.items()}
    np.savez_compressed(run_dir / runs.RESTORATION, allow_pickle=False, **arrays)

"""Test images degraded all the way and restored: what it looks like, and how close it comes."""

import logging
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from torch import Tensor

from thaw import runs, storage
from thaw.diffusion.restoration import Restoration
from thaw.metrics.restoration import RestorationScores, check_size
from thaw.metrics.suite import ScoreSuite
from thaw.progress import progress
from thaw.ranks import part
from thaw.reporting.panels import restoration_figure, stage_title
from thaw.reporting.style import harmless, save_figure
from thaw.training.estimate import affordable
from thaw.training.experiment import Experiment, labels_of

log = logging.getLogger(__name__)
NUM_SHOWN = 8


def check_restored(metrics: DictConfig, experiment: Experiment) -> None:
    """Refuse to train what its restorations could not be scored of.

    Raises:
        ValueError: images too small for SSIM; with the way out.
    """
    is_scored = metrics.num_restored or metrics.num_restored_each_epoch
    if not is_scored or experiment.restorer.degradation.leaves_nothing:
        return
    try:
        check_size(experiment.data.image_shape)
    except ValueError as error:
        raise ValueError(
            f"{error}: set metrics.num_restored=0 and metrics.num_restored_each_epoch=0"
        ) from error


def score_stages(
    batches: Iterable[Mapping[str, Tensor]],
    restoration: Restoration,
    num_images: int,
    suite: ScoreSuite | None = None,
) -> dict[str, Any]:
    """PSNR, SSIM, RMSE and FID of each stage against the originals, over all processes.

    Args:
        batches: of ``restoration``, originals among them.
        restoration: where they come from.
        num_images: how many there are, on all processes together.
        suite: of the FID; None for none. A single image has none either.

    Returns:
        ``psnr ssim rmse``, perhaps ``fid``, by stage; ``n``, perhaps ``fid_floor``.
    """
    suite = suite if num_images > 1 else None
    restorer = restoration.restorer
    device = next(restorer.network.parameters()).device
    names = restoration.stages[1:]
    scores = {name: RestorationScores(restorer.pixel_range, suite).to(device) for name in names}
    for stages in batches:
        for name, score in scores.items():
            score.update(stages[name], stages["original"])
    result: dict[str, Any] = {name: score.compute() for name, score in scores.items()}
    if suite is not None and suite.reference is not None:
        result["fid_floor"] = suite.reference.floor(num_images)["fid"]
        result["encoder"] = suite.name
    return result | {"n": num_images}


def restoring(
    restoration: Restoration, num_images: int, batch_size: int, place: tuple[int, int] = (0, 1)
) -> AbstractContextManager[None]:
    """How far this process is with its share of so many images, said while they are restored."""
    num_batches = len(range(0, num_images, batch_size))
    mine = max(1, len(range(num_batches)[part(num_batches, *place)]))
    pieces = restoration.restorer.pieces
    total = mine * restoration.num_evaluations()
    return progress(f"restoring {num_images:,} images", total, lambda: pieces.calls)


def described(
    restoration: Restoration, what: str = "test images", labels: str = "their own labels"
) -> dict[str, Any]:
    """What was restored and how, as kept beside its scores."""
    told = restoration.told(labels)
    return {
        "t": restoration.t,
        "sampler": restoration.describe(),
        "images": f"{what}, degraded to t = {restoration.t}, and restored {told}".rstrip(),
    }


def restoration_scores(
    restoration: Restoration,
    images: Tensor,
    batch_size: int,
    seed: int,
    suite: ScoreSuite | None = None,
    place: tuple[int, int] = (0, 1),
    labels: Tensor | None = None,
) -> dict[str, Any]:
    """The scores of test images, uint8 ``[N, C, H, W]``, and what was measured how.

    A class-conditional model is told their labels, int64 ``[N]``. Of several processes, by rank and
    number in ``place``, each restores a share of the images.
    """
    batches = restoration.batches(images, batch_size, seed, place=place, labels=labels)
    with restoring(restoration, len(images), batch_size, place):
        scores = score_stages(batches, restoration, len(images), suite)
    return scores | described(restoration)


def final_restoration(
    experiment: Experiment,
    metrics: DictConfig,
    run_dir: Path,
    seed: int,
    epoch: int,
    place: tuple[int, int] = (0, 1),
) -> None:
    """Restore the first ``metrics.num_restored`` test images: scores, and eight of them as figure.

    The figure goes to ``figures/restoration.png``, its images to ``restoration.npz`` beside it
    (uint8 ``[N, C, H, W]`` a stage), the scores to run.json and the log. Where the degradation
    leaves nothing of the image there is the figure alone. Nothing is done where ``num_restored`` is
    0, or where this epoch's restoration is in run.json already. Of several processes, by rank and
    number in ``place``, each restores a share of the images and the first writes.
    """
    done = runs.read_record(run_dir).get("restoration") or {}
    if not metrics.num_restored or done.get("epoch") == epoch:
        return
    restorer = experiment.restorer
    restoration = Restoration(restorer, affordable(experiment.sampler, restorer))
    images = experiment.data.test_images[: metrics.num_restored]
    labels = labels_of(experiment, "test", metrics.num_restored)
    if place[0] == 0:
        own = None if labels is None else labels[:NUM_SHOWN]
        (stages,) = restoration.batches(images[:NUM_SHOWN], NUM_SHOWN, seed, labels=own)
        shown = {name: restorer.pixel_range.to_uint8(stage).cpu() for name, stage in stages.items()}
        save_stages(shown, run_dir / runs.RESTORATION)
    result: dict[str, Any] = {"epoch": epoch, "sampler": restoration.describe()}
    if not restorer.degradation.leaves_nothing:
        result |= restoration_scores(
            restoration, images, metrics.batch_size, seed, experiment.suite, place, labels
        )
        for line in in_lines(result):
            log.info(line)
    elif labels is not None:
        result |= described(restoration)
    runs.update_record(run_dir, {"restoration": result})


def in_lines(scores: Mapping[str, Any]) -> list[str]:
    """What was restored, and a line a stage with its scores."""
    stages = {name: score for name, score in scores.items() if isinstance(score, dict)}
    titles = {name: stage_title(name) for name in stages}
    width = max(map(len, titles.values()))
    floor = f" (floor {scores['fid_floor']:.2f})" if "fid_floor" in scores else ""
    lines = [f"{scores['images']}: N {scores['n']}, {scores['sampler']}"]
    for name, score in stages.items():
        fid = f"  FID {score['fid']:.2f}{floor}" if "fid" in score else ""
        lines.append(
            f"  {titles[name]:{width}}  PSNR {score['psnr']:5.2f} dB  "
            f"SSIM {score['ssim']:.3f}  RMSE {score['rmse']:.4f}{fid}"
        )
    return lines


def save_stages(shown: Mapping[str, Tensor], path: Path) -> None:
    """Images by stage, uint8 ``[N, C, H, W]``, as ``path`` (.npz), the first eight as PNG too."""
    first = {name: images[:NUM_SHOWN] for name, images in shown.items()}
    figure = path.with_suffix(".png")
    with harmless(figure.name):
        save_figure(restoration_figure([("", first)]), figure)
    arrays = {name: images.numpy() for name, images in shown.items()}
    with storage.writing(path):
        np.savez_compressed(path, allow_pickle=False, **arrays)

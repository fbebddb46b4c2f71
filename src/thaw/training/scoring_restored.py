"""Test images degraded all the way and restored: what it looks like, and how close it comes."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from torch import Tensor

from thaw import runs, storage
from thaw.diffusion.restoration import STAGES, Restoration, stage_title
from thaw.metrics import table
from thaw.metrics.restored import RestorationScores, check_size
from thaw.metrics.suite import ScoreSuite
from thaw.progress import progress
from thaw.ranks import WHOLE, Portion
from thaw.reporting.numbers import scores_in_words
from thaw.training.experiment import Experiment, labels_of
from thaw.training.loggers.adapter import Adapter
from thaw.training.scoring_generated import affordable

log = logging.getLogger(__name__)
NUM_SHOWN = 8


def check_restored(metrics: DictConfig, experiment: Experiment) -> None:
    """Refuse to train where restored images are to be scored and could not be."""
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

    ``batches`` are those of ``restoration``, ``num_images`` on all processes together. FID takes a
    suite and more than one image; its floor is ``fid_floor``, the number of images ``n``.
    """
    suite = suite if num_images > 1 else None
    restorer, names = restoration.restorer, restoration.stages[1:]
    scores = {
        name: RestorationScores(restorer.pixel_range, suite).to(restorer.device) for name in names
    }
    for stages in batches:
        for name, score in scores.items():
            score.update(stages[name], stages["original"])
    result: dict[str, Any] = {name: score.compute() for name, score in scores.items()}
    if suite is not None and suite.reference is not None:
        floors = suite.reference.floor(num_images)
        result |= {row.floor: floors[row.name] for row in table.RESTORED if row.name in floors}
        result["encoder"] = suite.encoder.name
    return result | {"n": num_images}


def restoring(
    restoration: Restoration, num_images: int, batch_size: int, portion: Portion = WHOLE
) -> AbstractContextManager[None]:
    """A progress bar for this process's portion of the images."""
    total = len(portion.batches(num_images, batch_size)) * restoration.num_evaluations()
    return progress(f"restoring {num_images:,} images", total, restoration.num_calls)


def in_words(
    restoration: Restoration, what: str = "test images", labels: str = "with their own labels"
) -> dict[str, Any]:
    """What was restored and how, as kept beside its scores."""
    labels = restoration.labels_in_words(labels)
    return {
        "t": restoration.t,
        "sampler": restoration.describe(),
        "images": f"{what}, degraded to t = {restoration.t}, and restored {labels}".rstrip(),
    }


def score_restored(
    restoration: Restoration,
    images: Tensor,
    batch_size: int,
    seed: int,
    suite: ScoreSuite | None = None,
    portion: Portion = WHOLE,
    labels: Tensor | None = None,
) -> dict[str, Any]:
    """The scores of images, uint8 ``[N, C, H, W]``, degraded and restored, and how it was done.

    Each process restores its portion of the images; a class-conditional model is given their
    ``labels``, int64 ``[N]``.
    """
    batches = restoration.batches(images, batch_size, seed, portion=portion, labels=labels)
    with restoring(restoration, len(images), batch_size, portion):
        scores = score_stages(batches, restoration, len(images), suite)
    return scores | in_words(restoration)


def final_restoration(
    experiment: Experiment,
    metrics: DictConfig,
    run_dir: Path,
    seed: int,
    epoch: int,
    portion: Portion = WHOLE,
    adapters: Sequence[Adapter] = (),
) -> None:
    """Restore the first ``metrics.num_restored`` test images: scores, and eight of them as figure.

    The figure goes to ``figures/restoration.png``, its images to ``restoration.npz`` beside it
    (uint8 ``[N, C, H, W]`` a stage), the scores to run.json and the log. Where the degradation
    leaves nothing of the image there is the figure alone. Nothing is done where ``num_restored`` is
    0, or where this epoch's restoration is in run.json already. Each process restores its portion
    of the images, and the first one writes.
    """
    done = runs.read_record(run_dir).get("restoration") or {}
    if not metrics.num_restored or done.get("epoch") == epoch:
        return
    restorer = experiment.restorer
    restoration = Restoration(restorer, affordable(experiment.sampler, restorer))
    images = experiment.data.test_images[: metrics.num_restored]
    labels = labels_of(experiment, "test", metrics.num_restored)
    if portion.rank == 0:
        own = None if labels is None else labels[:NUM_SHOWN]
        (stages,) = restoration.batches(images[:NUM_SHOWN], NUM_SHOWN, seed, labels=own)
        shown = {name: restorer.pixel_range.to_uint8(stage).cpu() for name, stage in stages.items()}
        save_stages(shown, run_dir / runs.RESTORATION, adapters, epoch)
    result: dict[str, Any] = {"epoch": epoch, "sampler": restoration.describe()}
    if not restorer.degradation.leaves_nothing:
        result |= score_restored(
            restoration, images, metrics.batch_size, seed, experiment.suite, portion, labels
        )
        for line in in_lines(result):
            log.info(line)
    elif labels is not None:
        result |= in_words(restoration)
    runs.update_record(run_dir, {"restoration": result})


def in_lines(scores: Mapping[str, Any]) -> list[str]:
    """What was restored, and a line a stage with its scores."""
    stages = {name: scores[name] for name in STAGES if name in scores}
    titles = {name: stage_title(name) for name in stages}
    width = max(map(len, titles.values()))
    floors = {row.floor: scores[row.floor] for row in table.RESTORED if row.floor in scores}
    return [
        f"{scores['images']}: N {scores['n']}, {scores['sampler']}",
        *(
            f"  {titles[name]:{width}}  {scores_in_words(table.RESTORED, score | floors)}"
            f"{_cost(score)}"
            for name, score in stages.items()
        ),
    ]


def _cost(score: Mapping[str, Any]) -> str:
    """What a stage has cost, where that was measured."""
    if "seconds" not in score:
        return ""
    return f"  {score['evaluations']} evaluations, {score['seconds']:.1f} s"


def save_stages(
    shown: Mapping[str, Tensor], path: Path, adapters: Sequence[Adapter] = (), epoch: int = 0
) -> None:
    """Images by stage, uint8 ``[N, C, H, W]``, as ``path`` (.npz), the first eight as PNG too.

    The loggers of ``adapters`` get that figure, as of an epoch.
    """
    first = {name: images[:NUM_SHOWN] for name, images in shown.items()}
    figure = path.with_suffix(".png")
    # Imported where a figure is drawn: matplotlib is no part of loading and sampling.
    from thaw.reporting.panels import restoration_figure
    from thaw.reporting.style import harmless, save_figure

    with harmless(figure.name):
        drawn = restoration_figure([("", first)])
        save_figure(drawn, figure)
        for adapter in adapters:
            adapter.log_figure(path.stem, drawn, epoch)
    arrays = {name: images.numpy() for name, images in shown.items()}
    with storage.writing(path):
        np.savez_compressed(path, allow_pickle=False, **arrays)

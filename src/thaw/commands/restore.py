"""python sample.py task=restore: given images or those of a split, degraded and restored."""

import glob
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig
from torch import Tensor

from thaw import runs, storage
from thaw.checks import check_choice
from thaw.commands import classes
from thaw.commands.errors import InputError
from thaw.data.pixel_cache import read_images
from thaw.diffusion.restoration import Restoration
from thaw.metrics.restoration import check_size
from thaw.metrics.suite import ScoreSuite
from thaw.pixels import PixelRange
from thaw.reporting.images import save_png
from thaw.training.experiment import labels_of
from thaw.training.loading import LoadedRun
from thaw.training.restoration import described, in_lines, restoring, save_stages, score_stages

log = logging.getLogger(__name__)
SPLITS = {"test": "test images", "val": "validation images", "train": "training images"}


@dataclass(frozen=True)
class Given:
    """Images to restore, uint8 ``[N, C, H, W]``, what they are, and the ``files`` they are from.

    ``labels`` are their classes, int64 ``[N]``, and ``whose`` says where those come from.
    """

    images: Tensor
    what: str
    files: list[Path]
    restoration: Restoration
    suite: ScoreSuite | None
    labels: Tensor | None
    whose: str


def check_keys(cfg: DictConfig) -> None:
    """Refuse keys that mean nothing for the task, or nothing together.

    Raises:
        InputError, ValueError: naming them.
    """
    check_choice("split", cfg.split, SPLITS)
    if cfg.task == "restore":
        if cfg.degraded and cfg.images is None:
            raise InputError("degraded=true needs images=, files that are degraded already")
    elif cfg.images is not None or cfg.t is not None or cfg.degraded or cfg.refine:
        raise InputError(
            "images=, t=, degraded= and refine= belong to task=restore (a last pass over what is "
            "generated is sampler.refine=true)"
        )


def to_do(cfg: DictConfig) -> str:
    """In words."""
    what = "given images" if cfg.images is not None else f"{cfg.num_samples:,} {SPLITS[cfg.split]}"
    return f"restore {what}"


def folder(run: LoadedRun, cfg: DictConfig) -> str:
    """Inside a run's directory, where ``out`` is null."""
    what = cfg.split if cfg.images is None else "degraded" if cfg.degraded else "images"
    t = "T" if cfg.t is None else cfg.t
    name = f"{classes.folder(cfg)}{what}_t_{t}_seed_{cfg.seed}"
    return f"restored/{name}" + ("_refined" if cfg.refine else "")


def prepare(run: LoadedRun, cfg: DictConfig) -> Given:
    """Everything that can fail before the work starts: the step, the files, the data.

    Raises:
        InputError, ValueError, OSError: what is not as it should be, in one line.
    """
    experiment = run.experiment
    image_shape = experiment.data.image_shape
    restoration = Restoration(experiment.restorer, experiment.sampler, cfg.t, cfg.refine)
    if cfg.degraded:
        _check_noise_is_known(restoration, image_shape)
    else:
        check_size(image_shape)
    if cfg.images is None:
        experiment.data.setup()
        split = getattr(experiment.data, f"{cfg.split}_images")
        images, what, files = split[: cfg.num_samples], SPLITS[cfg.split], []
        labels, whose = labels_of(experiment, cfg.split, cfg.num_samples), "their own labels"
    else:
        files = list(dict.fromkeys(find_files(cfg.images)))
        images = torch.from_numpy(np.stack(list(read_images(files, image_shape))))
        what, labels, whose = "given images", None, ""
    if cfg.digit is not None:
        labels, whose = classes.asked(run, cfg, len(images)), f"digit={cfg.digit}"
    restoration.check_labels(labels)
    suite = None if cfg.degraded else _suite_with_reference(run)
    return Given(images, what, files, restoration, suite, labels, whose)


def find_files(images: Any) -> Iterator[Path]:
    """The files that a file, a glob, a folder (all in and below it), or a list of such means.

    Raises:
        InputError: one of them means none.
    """
    for pattern in images if isinstance(images, ListConfig) else [images]:
        path = Path(str(pattern)).expanduser()
        matches = [path] if path.exists() else map(Path, sorted(glob.glob(str(path))))
        found = [file for match in matches for file in _files_at(match)]
        if not found:
            raise InputError(f"images={pattern}: no file there")
        yield from found


def _files_at(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    within = (file for file in path.rglob("*") if file.is_file())
    return sorted(
        file
        for file in within
        if not any(part.startswith(".") for part in file.relative_to(path).parts)
    )


def _check_noise_is_known(restoration: Restoration, image_shape: tuple[int, int, int]) -> None:
    degradation = restoration.restorer.degradation
    device = next(restoration.restorer.network.parameters()).device
    if degradation.draw_noise(torch.zeros(1, *image_shape, device=device)).numel():
        raise InputError(
            f"degraded=true: {type(degradation).__name__} degrades each image in a random way of "
            "its own, which restoring it takes and files do not tell; give the originals, to be "
            "degraded here (degraded=false)"
        )


def _suite_with_reference(run: LoadedRun) -> ScoreSuite | None:
    """The run's scores; None where it has none, or no reference and no data to fit one."""
    suite, data = run.experiment.suite, run.experiment.data
    if suite is not None and suite.reference is None:
        try:
            data.setup()
        except (OSError, ValueError) as error:
            log.warning("no FID, its reference needs the training images: %s", error)
            return None
        suite.fit_reference(data.train_images, data.test_images)
    return suite


def write_restored(run: LoadedRun, given: Given, out: Path, cfg: DictConfig) -> None:
    """restoration.png and .npz, a folder of PNGs a stage, and scores.json where there are any."""
    restoration, pixel_range = given.restoration, run.experiment.restorer.pixel_range
    kept: dict[str, list[Tensor]] = defaultdict(list)
    batches = restoration.batches(
        given.images, cfg.batch_size, cfg.seed, cfg.degraded, labels=given.labels
    )
    batches = _keeping(batches, kept, pixel_range)
    how = f"{restoration.describe()} {restoration.told(given.whose)}".rstrip()
    log.info("%s: %s (%d), %s", run.run_dir, given.what, len(given.images), how)
    with restoring(restoration, len(given.images), cfg.batch_size):
        if cfg.degraded:
            for _ in batches:
                pass
        else:
            scores = score_stages(batches, restoration, len(given.images), given.suite)
    if not cfg.degraded:
        scores |= described(restoration, given.what, given.whose)
        for line in in_lines(scores):
            log.info(line)
        source = {"checkpoint": run.checkpoint.name, "epoch": run.epoch, "weights": run.weights}
        scores |= source | {"seed": cfg.seed, "files": list(map(str, given.files))}
        storage.write_atomically(
            out / "scores.json", json.dumps(runs.finite(scores), indent=2) + "\n"
        )
    stages = {name: torch.cat(parts) for name, parts in kept.items()}
    save_stages(stages, out / "restoration.npz")
    for name, images in stages.items():
        for number, image in enumerate(images):
            save_png(image, out / name / f"{number:05d}.png")


def _keeping(
    batches: Iterable[Mapping[str, Tensor]], kept: dict[str, list[Tensor]], pixel_range: PixelRange
) -> Iterator[dict[str, Tensor]]:
    """The same batches, each also added to ``kept`` as uint8 on the CPU."""
    for stages in batches:
        for name, images in stages.items():
            kept[name].append(pixel_range.to_uint8(images).cpu())
        yield dict(stages)

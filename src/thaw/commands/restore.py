"""python sample.py task=restore: given images or those of a split, degraded and restored."""

import glob
import json
import logging
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig
from torch import Tensor

from thaw import runs, storage
from thaw.commands.errors import InputError
from thaw.commands.generate import chosen_classes, class_folder
from thaw.data.pixel_cache import read_images
from thaw.diffusion.restoration import Restoration
from thaw.metrics.restored import check_size
from thaw.metrics.suite import ScoreSuite
from thaw.pixels import PixelRange
from thaw.reporting.images import save_png
from thaw.training.experiment import labels_of
from thaw.training.loading import LoadedRun, suite_with_reference
from thaw.training.scoring_restored import in_lines, in_words, restoring, save_stages, score_stages

log = logging.getLogger(__name__)
SPLITS = {"test": "test images", "val": "validation images", "train": "training images"}


@dataclass(frozen=True)
class Given:
    """Images to restore, uint8 ``[N, C, H, W]``, what they are, and the ``files`` they are from.

    ``labels`` are their classes, int64 ``[N]``, and ``which_labels`` says which those are.
    """

    images: Tensor
    what: str
    files: list[Path]
    restoration: Restoration
    suite: ScoreSuite | None
    labels: Tensor | None
    which_labels: str


def check_keys(cfg: DictConfig) -> None:
    """Refuse keys that mean nothing together."""
    if cfg.degraded and cfg.images is None:
        raise InputError("degraded=true needs images=, files that are degraded already")


def to_do(cfg: DictConfig) -> str:
    """The task in words."""
    what = "given images" if cfg.images is not None else f"{cfg.num_samples:,} {SPLITS[cfg.split]}"
    return f"restore {what}"


def folder(run: LoadedRun, cfg: DictConfig) -> str:
    """The folder in a run's directory."""
    what = cfg.split if cfg.images is None else "degraded" if cfg.degraded else "images"
    t = "T" if cfg.t is None else cfg.t
    name = f"{class_folder(cfg)}{what}_t_{t}_seed_{cfg.seed}"
    return f"restored/{name}" + ("_refined" if cfg.refine else "")


def prepare(run: LoadedRun, cfg: DictConfig) -> Given:
    """Everything that can fail before the work starts: the step, the files, the data."""
    experiment = run.experiment
    image_shape = experiment.data.image_shape
    restoration = Restoration(experiment.restorer, experiment.sampler, cfg.t, cfg.refine)
    if cfg.degraded:
        restoration.check_degraded(image_shape)
    else:
        check_size(image_shape)
    files: list[Path] = []
    labels, which_labels = None, "with their own labels"
    if cfg.images is None:
        experiment.data.setup()
        images = getattr(experiment.data, f"{cfg.split}_images")[: cfg.num_samples]
        labels = labels_of(experiment, cfg.split, cfg.num_samples)
    else:
        files = list(dict.fromkeys(find_files(cfg.images)))
        images = torch.from_numpy(np.stack(list(read_images(files, image_shape))))
    if cfg.digit is not None:
        labels = chosen_classes(run, cfg, len(images))
        which_labels = f"with digit={cfg.digit}"
    restoration.check_labels(labels)
    what = SPLITS[cfg.split] if cfg.images is None else "given images"
    suite = None if cfg.degraded else _suite(run)
    return Given(images, what, files, restoration, suite, labels, which_labels)


def find_files(images: Any) -> Iterator[Path]:
    """The files that ``images`` names: a file, a glob, a folder (and those below), or a list."""
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


def _suite(run: LoadedRun) -> ScoreSuite | None:
    """The run's scores; None where it has none, or no reference and no data to fit one."""
    try:
        return suite_with_reference(run)
    except (OSError, ValueError) as error:
        log.warning("no FID, its reference needs the training images: %s", error)
        return None


def write(run: LoadedRun, given: Given, out: Path, cfg: DictConfig) -> None:
    """restoration.png and .npz, a folder of PNGs a stage, and scores.json where there are any."""
    restoration, num_images = given.restoration, len(given.images)
    how = f"{restoration.describe()} {restoration.labels_in_words(given.which_labels)}".rstrip()
    log.info("%s: %s (%d), %s", run.run_dir, given.what, num_images, how)
    stages: dict[str, list[Tensor]] = defaultdict(list)
    batches = _keeping(
        restoration.batches(
            given.images, cfg.batch_size, cfg.seed, cfg.degraded, labels=given.labels
        ),
        stages,
        run.experiment.restorer.pixel_range,
    )
    with restoring(restoration, num_images, cfg.batch_size):
        if cfg.degraded:
            deque(batches, maxlen=0)
        else:
            scores = score_stages(batches, restoration, num_images, given.suite)
    if not cfg.degraded:
        scores |= in_words(restoration, given.what, given.which_labels)
        for line in in_lines(scores):
            log.info(line)
        scores |= run.source | {"seed": cfg.seed, "files": list(map(str, given.files))}
        text = json.dumps(runs.finite(scores), indent=2) + "\n"
        storage.write_atomically(out / "scores.json", text)
    whole = {name: torch.cat(parts) for name, parts in stages.items()}
    save_stages(whole, out / "restoration.npz")
    for name, images in whole.items():
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

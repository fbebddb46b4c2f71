"""python sample.py task=restore: given images or those of a split, degraded and restored."""

import glob
import json
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from thaw.commands.selection import run_directory
from thaw.data.paired_folder import check_partners, check_sizes
from thaw.data.pixel_cache import read_images
from thaw.diffusion.restoration import Restoration
from thaw.diffusion.zero_shot import Rival
from thaw.metrics.restored import check_size
from thaw.metrics.suite import ScoreSuite
from thaw.pixels import Bounds
from thaw.reporting.images import save_png
from thaw.training.experiment import labels_of, resolved
from thaw.training.loading import LoadedRun, load_run, suite_with_reference
from thaw.training.rivals import rivals_of
from thaw.training.scoring_restored import in_lines, in_words, restoring, save_stages, score_stages

log = logging.getLogger(__name__)
SPLITS = {"test": "test images", "val": "validation images", "train": "training images"}


@dataclass(frozen=True)
class Given:
    """Images to restore, as a data set keeps them, what they are, and the ``files`` they are from.

    Where they are ``is_degraded`` there are no originals. ``labels`` are their classes, int64
    ``[N]``, and ``which_labels`` says which those are.
    """

    images: Tensor
    what: str
    files: list[Path]
    restoration: Restoration
    suite: ScoreSuite | None
    labels: Tensor | None
    which_labels: str
    is_degraded: bool


def check_keys(cfg: DictConfig) -> None:
    """Refuse keys that mean nothing together."""
    if cfg.degraded and cfg.images is None:
        raise InputError("degraded=true needs images=, files that are degraded already")
    if cfg.partners is not None and cfg.images is None:
        raise InputError("partners= needs images=, the degraded files that they belong to")
    of_rival = (cfg.methods, *cfg.zero_shot.values())
    if cfg.against is None and any(each is not None for each in of_rival):
        raise InputError("methods= and zero_shot need against=, a run of Gaussian noise")
    if cfg.against is not None and cfg.degraded:
        raise InputError("against= restores what is degraded here: leave out degraded=true")


def to_do(cfg: DictConfig) -> str:
    """The task in words."""
    what = "given images" if cfg.images is not None else f"{cfg.num_samples:,} {SPLITS[cfg.split]}"
    return f"restore {what}"


def folder(run: LoadedRun, cfg: DictConfig) -> str:
    """The folder in a run's directory."""
    what = cfg.split if cfg.images is None else "degraded" if cfg.degraded else "images"
    t = "T" if cfg.t is None else cfg.t
    name = f"{class_folder(cfg)}{what}_t_{t}_seed_{cfg.seed}"
    against = "" if cfg.against is None else f"_against_{Path(cfg.against).name}"
    return f"restored/{name}" + ("_refined" if cfg.refine else "") + against


def prepare(run: LoadedRun, cfg: DictConfig) -> Given:
    """Everything that can fail before the work starts: the step, the files, the data."""
    experiment = run.experiment
    image_shape = experiment.data.image_shape
    restoration = Restoration(
        experiment.restorer, experiment.sampler, cfg.t, cfg.refine, _rivals(run, cfg)
    )
    takes_partners = experiment.restorer.degradation.takes_partners
    if cfg.partners is not None and not takes_partners:
        raise InputError(f"partners= needs a run of images with partners, and {run.run_dir} has "
                         "none (degradation=paired, or a bridge to it)")  # fmt: skip
    # A clean image alone has no partner to be mixed with.
    is_of_partners = takes_partners and cfg.images is not None
    is_degraded = (cfg.degraded or is_of_partners) and cfg.partners is None
    if is_degraded:
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
        names = dict(find_files(cfg.images))
        files = list(names)
        images = _read(files, run)
        if cfg.partners is not None:
            clean = _partners(names, Path(cfg.partners).expanduser())
            images = torch.cat([_read(clean, run), images], dim=1)
    if cfg.digit is not None:
        labels = chosen_classes(run, cfg, len(images))
        which_labels = f"with digit={cfg.digit}"
    restoration.check_labels(labels)
    what = SPLITS[cfg.split] if cfg.images is None else "given images"
    suite = None if is_degraded else _suite(run)
    return Given(images, what, files, restoration, suite, labels, which_labels, is_degraded)


def _rivals(run: LoadedRun, cfg: DictConfig) -> list[Rival]:
    """The methods by which the run ``against`` restores the same images; none without it."""
    if cfg.against is None:
        return []
    hot = load_run(
        run_directory(cfg.against, "against"), trusted=cfg.trusted, data_root=cfg.data.root
    )
    hot.experiment.module.to(run.experiment.restorer.device)
    methods = None if cfg.methods is None else list(cfg.methods)
    return rivals_of(run, hot, methods, resolved(cfg.zero_shot))


def _read(files: list[Path], run: LoadedRun) -> Tensor:
    """Images in files, as the run's data set keeps them, without partners."""
    data = run.experiment.data
    found = read_images(files, data.image_shape, data.source.value_range)
    return torch.from_numpy(np.stack(list(found)))


def _partners(names: Mapping[Path, str], folder: Path) -> list[Path]:
    """The clean file of each degraded one: that of its name in a folder, and of its size."""
    pairs = [(folder / name, file) for file, name in names.items()]
    check_partners([(degraded, clean) for clean, degraded in pairs])
    check_sizes(pairs)
    return [clean for clean, _ in pairs]


def find_files(images: Any) -> Iterator[tuple[Path, str]]:
    """The files that ``images`` names: a file, a glob, a folder (and those below), or a list.

    Each with its name: its path in the folder that was named, if one was.
    """
    for pattern in images if isinstance(images, ListConfig) else [images]:
        path = Path(str(pattern)).expanduser()
        matches = [path] if path.exists() else map(Path, sorted(glob.glob(str(path))))
        found = [
            (file, file.name if file == match else file.relative_to(match).as_posix())
            for match in matches
            for file in _files_at(match)
        ]
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
    """restoration.png and .npz, a folder of files a stage, and scores.json where there are any.

    The files are PNGs; of data with a range of values float32 ``.npy`` ``[H, W]`` in these, while
    the figure and its arrays have 8 bits.
    """
    restoration, num_images = given.restoration, len(given.images)
    pixel_range = run.experiment.restorer.pixel_range
    value_range = run.experiment.data.source.value_range
    how = f"{restoration.describe()} {restoration.labels_in_words(given.which_labels)}".rstrip()
    log.info("%s: %s (%d), %s", run.run_dir, given.what, num_images, how)
    stages: dict[str, list[Tensor]] = defaultdict(list)
    batches = _keeping(
        restoration.batches(
            given.images, cfg.batch_size, cfg.seed, given.is_degraded, labels=given.labels
        ),
        stages,
        pixel_range.to_uint8 if value_range is None else pixel_range.to_levels,
    )
    with restoring(restoration, num_images, cfg.batch_size):
        if given.is_degraded:
            deque(batches, maxlen=0)
        else:
            scores = score_stages(batches, restoration, num_images, given.suite)
    if not given.is_degraded:
        scores |= in_words(restoration, given.what, given.which_labels)
        for name, number in restoration.evaluations().items():
            scores[name] |= {"evaluations": number, "seconds": restoration.seconds[name]}
        if restoration.rivals:
            ways = {name: rival.describe() for name, rival in restoration.rivals.items()}
            scores["zero_shot"] = {"against": cfg.against, **ways}
        for line in in_lines(scores):
            log.info(line)
        scores |= run.source | {"seed": cfg.seed, "files": list(map(str, given.files))}
        text = json.dumps(runs.finite(scores), indent=2) + "\n"
        storage.write_atomically(out / "scores.json", text)
    whole = {name: torch.cat(parts) for name, parts in stages.items()}
    shown = {name: images.round().to(torch.uint8) for name, images in whole.items()}
    save_stages(shown, out / "restoration.npz")
    for name, images in whole.items():
        for number, image in enumerate(images):
            stem = f"{number:05d}" + (f"_{given.files[number].stem}" if given.files else "")
            if value_range is None:
                save_png(image, out / name / f"{stem}.png")
            else:
                _save_values(image, value_range, out / name / f"{stem}.npy")


def _save_values(levels: Tensor, value_range: Bounds, path: Path) -> None:
    """Write levels 0 to 255, ``[1, H, W]``, as the values that they stand for."""
    low, high = value_range
    path.parent.mkdir(parents=True, exist_ok=True)
    with storage.writing(path):
        np.save(path, (low + levels[0].double() * ((high - low) / 255)).float().numpy())


def _keeping(
    batches: Iterable[Mapping[str, Tensor]],
    kept: dict[str, list[Tensor]],
    stored: Callable[[Tensor], Tensor],
) -> Iterator[dict[str, Tensor]]:
    """The same batches, each also added to ``kept`` as it will be ``stored``, on the CPU."""
    for stages in batches:
        for name, images in stages.items():
            kept[name].append(stored(images).cpu())
        yield dict(stages)

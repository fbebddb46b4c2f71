"""Runs as a report sees them: plain data read from their directories, nothing instantiated."""

import logging
import math
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator
from torch import Tensor

from thaw import runs, storage
from thaw.diffusion.restoration import STAGES
from thaw.reporting.labels import distinct, labels, without_seed

Array = np.ndarray[Any, Any]
STEP_LOSS = "train/loss_step"
# More than a run has, and less than makes a report hang: a record is a file from anywhere.
MAX_DEPTH = 20
MAX_LENGTH = 2000
MAX_EPOCH = 1e9
LEAST, MOST = 1e-100, 1e100
MAX_PIXELS = 50_000_000
MAX_ARRAY_BYTES = 500_000_000
MAX_SHOWN = 16
MAX_ASPECT = 64
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
NEEDED = ("original", "degraded", "direct")


@dataclass
class FinishedRun:
    """One run directory: run.json, the rows of metrics.csv, and what is missing or damaged."""

    directory: Path
    record: dict[str, Any] = field(default_factory=dict)
    epochs: list[dict[str, float]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    """What ``evaluate.py`` wrote, in the order of the files' names."""

    @property
    def status(self) -> str:
        """Of run.json."""
        return str(self.record.get("status", "unknown"))

    @property
    def is_done(self) -> bool:
        """Whether it has come to its end, so that it may be part of a mean."""
        return bool(self.record.get("status", "completed") == "completed")

    @property
    def last_epoch(self) -> dict[str, Any]:
        """The last row of metrics.csv as run.json has it, empty where it has none."""
        return _mapping(self.record.get("last_epoch"))

    @property
    def final(self) -> dict[str, Any]:
        """The robust estimate, empty where there is none."""
        return _mapping(self.record.get("final_scores"))

    @property
    def restoration(self) -> dict[str, Any]:
        """The restoration scores, empty where there are none."""
        return _mapping(self.record.get("restoration"))

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration, empty where run.json has none."""
        return _mapping(self.record.get("config"))

    @cached_property
    def step_losses(self) -> tuple[Array, Array]:
        """Steps and losses from TensorBoard's event files, a step once; empty without a file."""
        return _step_losses(self.directory)

    def column(self, name: str) -> tuple[list[float], list[float]]:
        """Epochs and values of a column of metrics.csv where it has one."""
        rows = [row for row in self.epochs if name in row]
        return [row["epoch"] for row in rows], [row[name] for row in rows]


@dataclass(frozen=True)
class Group:
    """Runs of one experiment that differ by seed alone."""

    title: str
    members: Sequence[FinishedRun]

    @property
    def first(self) -> FinishedRun:
        """The run that stands for the group where one must: the first that was completed."""
        return next((run for run in self.members if run.is_done), self.members[0])


def read_run(directory: Path) -> FinishedRun:
    """The run in a directory; whatever cannot be read is named among its problems."""
    run = FinishedRun(directory)
    try:
        run.record = tidied(runs.read_record(directory))
    except ValueError as error:
        run.problems.append(str(error))
    if run.status != "completed":
        reason = run.record.get("error")
        run.problems.append(f"status {run.status}" + (f": {reason}" if reason else ""))
    if end := run.record.get("ended_by"):
        run.problems.append(f"training ended by {end}")
    for path in sorted((directory / runs.EVALUATIONS).glob("*.json")):
        try:
            run.evaluations.append(tidied(storage.read_json(path)))
        except ValueError as error:
            run.problems.append(str(error))
    path = directory / runs.METRICS
    if not path.is_file():
        run.problems.append("no metrics.csv: no epoch was finished")
        return run
    try:
        run.epochs = [_numbers(row) for row in storage.read_rows(path)]
    except ValueError as error:
        run.problems.append(f"metrics.csv is damaged: {error}")
    return run


def group_by_seed(found: Sequence[FinishedRun]) -> list[Group]:
    """The runs in groups, in their order, each with a title that tells it from the others.

    Completed runs belong together where they differ by seed alone and were trained and scored
    alike. Any other run, and the same seed once more, is a group of its own.
    """
    members: dict[frozenset[str], list[FinishedRun]] = {}
    first: list[Sequence[str]] = []
    for run in found:
        overrides = run.record.get("overrides")
        # Runs whose overrides are unknown are not known to repeat each other.
        own = (
            without_seed(list(map(str, overrides)))
            if isinstance(overrides, list)
            else [str(run.directory)]
        )
        if frozenset(own) not in members:
            first.append(own)
        members.setdefault(frozenset(own), []).append(run)
    given = [group[0].config.get("name") for group in members.values()]
    names = [name if isinstance(name, str) else None for name in given]
    titles = labels(first, names)
    parts = [
        (f"{title} ({_apart(part)})" if number else title, part)
        for title, group in zip(titles, members.values(), strict=True)
        for number, part in enumerate(_comparable(group))
    ]
    return list(map(Group, distinct([title for title, _ in parts]), (part for _, part in parts)))


def _comparable(group: Sequence[FinishedRun]) -> list[list[FinishedRun]]:
    """A group's runs in parts over which means mean something, that of most runs first."""
    parts: dict[object, list[FinishedRun]] = defaultdict(list)
    times: Counter[str] = Counter()
    for number, run in enumerate(group):
        sizes = (run.last_epoch.get("val/n"), run.final.get("final/n"))
        alike = repr((run.record.get("epochs"), run.record.get("encoder"), *sizes))
        repeat = f"{alike} {run.record.get('seed')}"
        parts[(alike, times[repeat]) if run.is_done else number].append(run)
        times[repeat] += run.is_done and "seed" in run.record
    return sorted(parts.values(), key=lambda part: (not part[0].is_done, -len(part)))


def _apart(part: Sequence[FinishedRun]) -> str:
    """What tells a part of a group from its first."""
    run = part[0]
    seeds = ", ".join(str(each.record.get("seed")) for each in part)
    state = f"{run.record.get('epochs')} epochs" if run.is_done else run.status
    return f"seed {seeds}, {state}"


def _step_losses(directory: Path) -> tuple[Array, Array]:
    logging.getLogger("tensorboard").setLevel(logging.WARNING)
    sizes = {
        event_accumulator.SCALARS: 0,  # all of them
        event_accumulator.IMAGES: 1,
        event_accumulator.TENSORS: 1,
        event_accumulator.HISTOGRAMS: 1,
    }
    # A pipe would be waited for.
    if not all(path.is_file() for path in directory.glob("*tfevents*")):
        return np.empty(0), np.empty(0)
    accumulator = event_accumulator.EventAccumulator(str(directory), size_guidance=sizes)
    try:
        scalars = accumulator.Reload().Scalars(STEP_LOSS)
    except Exception:  # no such tag, or records of another kind; the report says what is missing
        return np.empty(0), np.empty(0)
    # After a resume a step may be there twice; the last one counts.
    losses = {event.step: event.value for event in scalars}
    steps = sorted(losses)
    return np.array(steps), np.array([losses[step] for step in steps])


def sample_grids(run: FinishedRun) -> dict[int, Path]:
    """The grids of samples by epoch."""
    found = {}
    for path in sorted((run.directory / runs.SAMPLES).glob("epoch_*.png")):
        number = path.stem.removeprefix("epoch_")
        if re.fullmatch("[0-9]{1,9}", number) and path.is_file():
            found[int(number)] = path
    return found


def read_image(path: Path) -> Array:
    """uint8 ``[H, W]`` or ``[H, W, 3]``.

    Raises:
        ValueError: damaged, or larger than any grid.
    """
    try:
        # Of other formats Pillow hands some to other programs.
        with Image.open(path, formats=("PNG",)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels are no grid of samples")
            return np.asarray(image.convert("L" if image.mode == "L" else "RGB"))
    except Exception as error:  # Pillow has nearly any for a damaged file
        raise ValueError(f"{path.name} cannot be read: {error}") from error


def read_restoration(run: FinishedRun) -> dict[str, Tensor]:
    """The restored test images, uint8 ``[N, C, H, W]`` a stage, empty where there are none.

    Raises:
        ValueError: the file is damaged.
    """
    path = run.directory / runs.RESTORATION
    if not path.is_file():
        return {}
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_ARRAY_BYTES:
                raise ValueError("it unpacks to more than any restoration")
        with np.load(path, allow_pickle=False) as arrays:
            # Which there are depends on the run and its version; these every run has.
            if unknown := set(arrays.files) - set(STAGES):
                raise ValueError(f"unknown arrays {', '.join(sorted(unknown))}")
            names = [name for name in STAGES if name in arrays or name in NEEDED]
            stages = {name: torch.from_numpy(arrays[name])[:MAX_SHOWN] for name in names}
    except Exception as error:  # zipfile, zlib and numpy have many for a damaged archive
        raise ValueError(f"{path.name} cannot be read: {error}") from error
    shapes = {stage.shape for stage in stages.values()}
    if len(shapes) > 1 or not all(map(_are_images, stages.values())):
        raise ValueError(f"{path.name} does not hold uint8 images of one shape")
    return stages


def _are_images(stage: Tensor) -> bool:
    return (
        stage.dtype == torch.uint8
        and stage.dim() == 4
        and stage.shape[1] in (1, 3)
        and stage.numel() > 0
        and max(stage.shape[2:]) <= MAX_ASPECT * min(stage.shape[2:])
    )


def read_alpha_bar(run: FinishedRun) -> Tensor | None:
    """alpha_bar ``[T + 1]`` of a Gaussian run, None where it has no schedule.

    Raises:
        ValueError: the file is damaged.
    """
    path = run.directory / runs.SCHEDULE
    if not path.is_file():
        return None
    try:
        values = [float(row["alpha_t"]) for row in storage.read_rows(path)]
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path.name} cannot be read: {error!r}") from error
    if len(values) < 2 or not all(0 <= value <= 1 for value in values):
        raise ValueError(f"{path.name} does not hold a table of alpha_t from 0 to 1")
    return torch.tensor(values, dtype=torch.float64)


def _numbers(row: Mapping[str, str]) -> dict[str, float]:
    found = {}
    for name, text in row.items():
        try:
            found[name] = _drawable(float(text))
        except ValueError:  # a name, such as the sampler's, or an empty cell
            continue
    if not 0 <= found.get("epoch", -1) <= MAX_EPOCH:
        raise ValueError("a row has no epoch")
    if not 0 <= found.get("step", 0) <= MAX_EPOCH**2:
        raise ValueError("a row's step is no number of steps")
    return found


def _drawable(value: float) -> float:
    """0 or infinite where no axis could show it beside others."""
    if abs(value) > MOST:
        return math.copysign(math.inf, value)
    return 0.0 if abs(value) < LEAST else value


def tidied(value: Any, depth: int = 0) -> Any:
    """The same plain data without what no page or figure can show.

    Characters that are none to be seen become U+FFFD; long texts and deep nests are cut off;
    whole numbers beyond 64 bits become floats.
    """
    if depth > MAX_DEPTH:
        return "..."
    if isinstance(value, dict):
        return {tidied(key, depth): tidied(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, list):
        return [tidied(entry, depth + 1) for entry in value]
    if isinstance(value, str):
        text = value if len(value) <= MAX_LENGTH else f"{value[:MAX_LENGTH]}..."
        return UNPRINTABLE.sub("\ufffd", text)
    if isinstance(value, int) and abs(value) >= 2**63:
        return float(value) if abs(value) < 10**300 else math.inf if value > 0 else -math.inf
    return value


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}

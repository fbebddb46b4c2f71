"""Runs as a report sees them: plain data read from their directories, nothing instantiated."""

import logging
import math
import re
from collections.abc import Mapping
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

Array = np.ndarray[Any, Any]
STEP_LOSS = "train/loss_step"
# What neither HTML nor a figure can show, or what changes the order in which a line is read.
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
NEEDED = ("original", "degraded", "direct")


@dataclass
class FinishedRun:
    """One run directory: run.json, metrics.csv, evaluations, and what is missing or damaged.

    record: the contents of run.json.
    epochs: the numbers of metrics.csv, a row for each epoch.
    problems: what is missing or damaged, a line each.
    evaluations: what ``evaluate.py`` wrote, in the order of the files' names.
    """

    directory: Path
    record: dict[str, Any] = field(default_factory=dict)
    epochs: list[dict[str, float]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    evaluations: list[dict[str, Any]] = field(default_factory=list)

    @property
    def status(self) -> str:
        """The status in run.json."""
        return str(self.record.get("status", "unknown"))

    @property
    def is_done(self) -> bool:
        """Whether it has come to its end, so that it may be part of a mean."""
        return bool(self.record.get("status", "completed") == "completed")

    def get(self, *keys: str) -> Any:
        """What run.json holds under these keys, one inside the other; None for nothing."""
        value: Any = self.record
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration, empty where run.json has none."""
        config = self.record.get("config")
        return config if isinstance(config, dict) else {}

    @cached_property
    def step_losses(self) -> tuple[Array, Array]:
        """Steps and losses from TensorBoard's event files, a step once; empty without a file."""
        return _step_losses(self.directory)

    def column(self, name: str) -> tuple[list[float], list[float]]:
        """Epochs and values of a column of metrics.csv where it has one."""
        rows = [row for row in self.epochs if name in row]
        return [row["epoch"] for row in rows], [row[name] for row in rows]


def read_run(directory: Path) -> FinishedRun:
    """The run in a directory; whatever cannot be read is named among its problems."""
    run = FinishedRun(directory)
    try:
        run.record = printable(runs.read_record(directory))
    except (ValueError, RecursionError) as error:
        run.problems.append(str(error))
    if run.status != "completed":
        reason = run.record.get("error")
        run.problems.append(f"status {run.status}" + (f": {reason}" if reason else ""))
    if end := run.record.get("ended_by"):
        run.problems.append(f"training ended by {end}")
    for path in sorted((directory / runs.EVALUATIONS).glob("*.json")):
        try:
            run.evaluations.append(printable(storage.read_json(path)))
        except (ValueError, RecursionError) as error:
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


def _step_losses(directory: Path) -> tuple[Array, Array]:
    logging.getLogger("tensorboard").setLevel(logging.WARNING)
    kinds = (event_accumulator.IMAGES, event_accumulator.TENSORS, event_accumulator.HISTOGRAMS)
    sizes = dict.fromkeys(kinds, 1) | {event_accumulator.SCALARS: 0}  # 0: all of them
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
        ValueError: damaged, or not a PNG.
    """
    try:
        # Pillow hands some other formats to other programs.
        with Image.open(path, formats=("PNG",)) as image:
            return np.asarray(image.convert("L" if image.mode == "L" else "RGB"))
    except Exception as error:  # Pillow has nearly any for a damaged file
        raise ValueError(f"{path.name} cannot be read: {error}") from error


def read_restoration(run: FinishedRun) -> dict[str, Tensor]:
    """The restored test images, uint8 ``[N, C, H, W]`` for each stage.

    Raises:
        ValueError: there are none, or the file is damaged.
    """
    path = run.directory / runs.RESTORATION
    if not path.is_file():
        raise ValueError("no restored test images")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if unknown := set(arrays.files) - set(STAGES):
                raise ValueError(f"unknown arrays {', '.join(sorted(unknown))}")
            names = [name for name in STAGES if name in arrays or name in NEEDED]
            stages = {name: torch.from_numpy(arrays[name]) for name in names}
    except Exception as error:  # zipfile, zlib and numpy have many for a damaged archive
        raise ValueError(f"{path.name} cannot be read: {error}") from error
    shapes = {stage.shape for stage in stages.values()}
    if len(shapes) > 1 or not all(map(_are_images, stages.values())):
        raise ValueError(f"{path.name} does not hold uint8 images of one shape")
    return stages


def _are_images(stage: Tensor) -> bool:
    is_batch = stage.dtype == torch.uint8 and stage.dim() == 4 and stage.numel() > 0
    return is_batch and stage.shape[1] in (1, 3)


def has_schedule(run: FinishedRun) -> bool:
    """Whether the run has the table of a schedule, or its figure, beside which one belongs."""
    path = run.directory / runs.SCHEDULE
    return path.is_file() or path.with_suffix(".png").is_file()


def read_alpha_bar(run: FinishedRun) -> Tensor:
    """The schedule alpha_bar ``[T + 1]`` of a run.

    Raises:
        ValueError: there is none, or the file is damaged.
    """
    path = run.directory / runs.SCHEDULE
    if not path.is_file():
        raise ValueError(f"no {path.name}")
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
            found[name] = float(text)
        except ValueError:  # a name, such as the sampler's, or an empty cell
            continue
    if not math.isfinite(found.get("epoch", math.nan)):
        raise ValueError("a row has no epoch")
    return found


def printable(value: Any) -> Any:
    """The same plain data without what no page or figure can show.

    Characters without a glyph become U+FFFD; whole numbers beyond 64 bits become text.
    """
    if isinstance(value, dict):
        return {printable(key): printable(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [printable(entry) for entry in value]
    if isinstance(value, int) and abs(value) >= 2**63:
        return str(value)
    return UNPRINTABLE.sub("\ufffd", value) if isinstance(value, str) else value

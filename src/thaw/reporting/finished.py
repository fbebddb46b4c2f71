"""Runs as a report sees them: plain data read from their directories, nothing instantiated."""

import logging
import math
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
        return str(self.get("status") or "unknown")

    @property
    def is_done(self) -> bool:
        """Whether it has come to its end, so that it may be part of a mean."""
        return self.status == "completed"

    def get(self, *keys: str) -> Any:
        """What run.json holds under these keys, one inside the other; None for nothing."""
        value: Any = self.record
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    @cached_property
    def step_losses(self) -> tuple[Array, Array]:
        """Steps and losses, a step once; empty without a file.

        Of runs that have none of their own, from TensorBoard's event files.
        """
        path = self.directory / runs.STEP_LOSSES
        if path.is_file():
            size = path.stat().st_size // 4  # of a file that is cut off, what is whole
            losses = np.fromfile(path, "<f4", size).astype(np.float64)
            there = np.flatnonzero(~np.isnan(losses))
            return there + 1, losses[there]
        return self._step_losses_of_tensorboard()

    def _step_losses_of_tensorboard(self) -> tuple[Array, Array]:
        logging.getLogger("tensorboard").setLevel(logging.WARNING)
        kinds = (event_accumulator.IMAGES, event_accumulator.TENSORS, event_accumulator.HISTOGRAMS)
        sizes = dict.fromkeys(kinds, 1) | {event_accumulator.SCALARS: 0}  # 0: all of them
        accumulator = event_accumulator.EventAccumulator(str(self.directory), sizes)
        try:
            scalars = accumulator.Reload().Scalars(STEP_LOSS)
        except Exception:  # no such tag, or records of another kind; the page says what is missing
            return np.empty(0), np.empty(0)
        # After a resume a step may be there twice; the last one counts.
        losses = dict(sorted({event.step: event.value for event in scalars}.items()))
        return np.array(list(losses)), np.array(list(losses.values()))

    def column(self, name: str, over: str = "epoch") -> tuple[list[float], list[float]]:
        """Epochs (or steps) and values of a column of metrics.csv where it has one."""
        rows = [row for row in self.epochs if name in row]
        return [row[over] for row in rows], [row[name] for row in rows]


def read_run(directory: Path) -> FinishedRun:
    """The run in a directory; whatever cannot be read is named among its problems."""
    run = FinishedRun(directory)
    try:
        run.record = runs.read_record(directory)
    except ValueError as error:
        run.problems.append(str(error))
    if not run.is_done:
        reason = run.get("error")
        run.problems.append(f"status {run.status}" + (f": {reason}" if reason else ""))
    if end := run.get("ended_by"):
        run.problems.append(f"training ended by {end}")
    for path in sorted((directory / runs.EVALUATIONS).glob("*.json")):
        try:
            run.evaluations.append(storage.read_json(path))
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


def sample_grids(run: FinishedRun) -> dict[int, Path]:
    """The grids of samples by epoch."""
    paths = sorted((run.directory / runs.SAMPLES).glob("epoch_*.png"))
    numbers = {path: path.stem.removeprefix("epoch_") for path in paths}
    return {int(number): path for path, number in numbers.items() if number.isdecimal()}


def read_image(path: Path) -> Array:
    """uint8 ``[H, W]`` or ``[H, W, 3]``; ``ValueError`` for what is damaged or not a PNG."""
    try:
        # Pillow hands some other formats to other programs.
        with Image.open(path, formats=("PNG",)) as image:
            return np.asarray(image.convert("L" if image.mode == "L" else "RGB"))
    except Exception as error:  # Pillow has nearly any for a damaged file
        raise ValueError(f"{path.name} cannot be read: {error}") from error


def read_restoration(run: FinishedRun) -> dict[str, Tensor]:
    """The restored test images, uint8 ``[N, C, H, W]`` for each stage.

    Raises:
        ValueError: the run has no restored images, or the file is damaged.
    """
    path = run.directory / runs.RESTORATION
    if not path.is_file():
        raise ValueError("no restored test images")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            stages = {name: torch.from_numpy(arrays[name]) for name in STAGES if name in arrays}
        if torch.stack(list(stages.values())).dtype != torch.uint8:  # of one shape, at least one
            raise ValueError("these are not images")
    except Exception as error:  # zipfile, zlib and numpy have many for a damaged archive
        raise ValueError(f"{path.name} cannot be read: {error}") from error
    return stages


def read_alpha_bar(run: FinishedRun) -> Tensor | None:
    """The schedule of a run as alpha_bar ``[T + 1]``, None where it has none.

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
    return torch.tensor(values, dtype=torch.float64)

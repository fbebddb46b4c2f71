"""metrics.csv, one row an epoch, and one line an epoch in the log."""

import csv
import io
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor

from thaw import runs, storage
from thaw.training.callbacks.epoch_scores import EpochScores

log = logging.getLogger(__name__)
FIRST = ("epoch", "step", "train/", "val/loss")


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """The rows of metrics.csv in the order of their epochs; empty where there is no such file.

    ``epoch`` and ``step`` are whole numbers, everything else is text. ValueError for a damaged one.
    """
    path = run_dir / runs.METRICS
    if not path.is_file():
        return []
    rows: list[dict[str, Any]] = []
    try:
        for row in storage.read_rows(path):
            rows.append(row | {key: int(float(row[key])) for key in ("epoch", "step")})
            float(row["train/loss"])
    except (ValueError, KeyError, OverflowError) as error:
        reason = f"no column {error}" if isinstance(error, KeyError) else error
        raise ValueError(
            f"{path} is damaged: {reason}; correct it, or move it away to go on without it"
        ) from error
    return sorted(rows, key=lambda row: int(row["epoch"]))


class RunFiles(Checkpoint):
    """Writes metrics.csv whole after every epoch; on resume, rows after the checkpoint go.

    A row has what was logged in its epoch, all of it (Lightning calls what is called Checkpoint
    after the other callbacks), and what the scores' callbacks say of how they were measured.
    """

    def __init__(self, run_dir: Path, scores: Sequence[EpochScores]) -> None:
        self.path = run_dir / runs.METRICS
        self.run_dir = run_dir
        self.scores = scores
        self.rows: list[dict[str, Any]] = []
        self.before: dict[str, Tensor] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.epoch_start = time.perf_counter()  # of an epoch resumed in its middle: the rest of it
        if trainer.current_epoch:  # a run that starts again takes nothing from it
            rows = read_metrics(self.run_dir)
            self.rows = [row for row in rows if row["epoch"] <= trainer.current_epoch]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.epoch_start = time.perf_counter()
        self.before = dict(trainer.callback_metrics)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        # Lightning keeps a number until the next one; a row has those of its own epoch alone.
        metrics = trainer.callback_metrics.items()
        values = {key: float(each) for key, each in metrics if each is not self.before.get(key)}
        row: dict[str, Any] = {"epoch": trainer.current_epoch + 1, "step": trainer.global_step}
        row |= {key: values[key] for key in sorted(values, key=_place)}
        row |= {key: text for each in self.scores for key, text in each.described.items()}
        self.rows.append(row)
        storage.write_atomically(self.path, _to_csv(self.rows))
        runs.update_record(self.run_dir, {"epochs": row["epoch"], "last_epoch": row})
        seconds = time.perf_counter() - self.epoch_start
        for logger in trainer.loggers:
            # After the losses and scores, in TensorBoard's order.
            logger.log_metrics({"wall_time/epoch_s": seconds}, trainer.global_step)
        self._log_line(row, trainer.max_epochs, seconds)

    def _log_line(self, row: dict[str, Any], max_epochs: int | None, seconds: float) -> None:
        parts = [f"epoch {row['epoch']}/{max_epochs}", f"loss {row['train/loss']:.4f}"]
        if "val/loss" in row:
            parts.append(f"val {row['val/loss']:.4f}")
        for scores in self.scores:
            parts += scores.in_words(row) if scores.described else []
        log.info("  ".join([*parts, f"epoch {seconds:.0f} s"]))


def _place(column: str) -> int:
    """Rank of a column: epoch and step, the losses, then the scores in their own order."""
    return next((k for k, start in enumerate(FIRST) if column.startswith(start)), len(FIRST))


def _to_csv(rows: list[dict[str, Any]]) -> str:
    columns = sorted(dict.fromkeys(key for row in rows for key in row), key=_place)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()

"""The summary of a sweep: sweep.csv, a row a job, and a table on the screen."""

import csv
import io
import shutil
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from thaw import runs, storage
from thaw.commands.config import remember_varying
from thaw.commands.errors import Escaped, InputError, one_line
from thaw.provenance import tensorboard_command
from thaw.reporting.labels import differing, without_seed
from thaw.reporting.numbers import plus_minus
from thaw.reporting.order import in_order

SCORES = ("train/loss", "val/loss", "val/fid", "val/is_mean", "final/fid", "final/is_mean")
SHOWN = {
    "train/loss": "loss",
    "val/fid": "FID",
    "val/is_mean": "IS",
    "final/fid": "final FID",
    "final/is_mean": "final IS",
}
# What of two runs must be equal for a mean over them to mean anything, beside their overrides.
ALIKE = ("epochs", "val/n", "final/n", "encoder")
# Characters of a reason on the screen, at least, and of a line where there is no screen.
MIN_REASON, MAX_WIDTH = 30, 160
_sweep_dirs: list[Path] = []
# Of each job that has ended in this process: what it raised, or None.
_ends: list[Exception | None] = []


class SweepSummary(Callback):
    """Rewrites sweep.csv as each job of a multirun ends; ``write_summaries`` is for its start.

    So a sweep that is killed has one too.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        _sweep_dirs.append(Path(config.hydra.sweep.dir))
        remember_varying(config.hydra.overrides.task)

    def on_job_end(self, config: DictConfig, job_return: Any, **kwargs: Any) -> None:
        # This may be a process of a launcher, which has seen no sweep start.
        if config.hydra.mode == RunMode.MULTIRUN:
            outcome = job_return._return_value
            _ends.append(outcome if isinstance(outcome, Exception) else None)
            write_summary(Path(config.hydra.sweep.dir))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        # A search gets over runs that fail. Where it had no others it has found nothing.
        error = error_of_all()
        if error is not None:
            raise Escaped(error)


def write_summaries() -> None:
    """Write sweep.csv of every sweep that this process runs."""
    for sweep_dir in _sweep_dirs:
        write_summary(sweep_dir)


def write_summary(sweep_dir: Path) -> list[dict[str, Any]]:
    """Write sweep.csv from the run.json of every job, and return its rows."""
    if not sweep_dir.is_dir():  # moved or removed by now
        return []
    records = {path.parent: _record(path.parent) for path in sweep_dir.glob(f"*/{runs.RECORD}")}
    rows = [_row(run_dir, records[run_dir]) for run_dir in in_order(records)]
    add_statistics_over_seeds(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    storage.write_atomically(sweep_dir / "sweep.csv", text.getvalue())
    return rows


def add_statistics_over_seeds(rows: list[dict[str, Any]]) -> None:
    """Give completed rows the mean and standard deviation over those that differ by seed only.

    Columns ``<score>/mean`` and ``<score>/std`` (of a sample, n - 1), and ``num_seeds``. What is
    not completed, or was trained or scored otherwise, has no part in them; nor has a score that
    one of them lacks.
    """
    groups: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row.get("status", "completed") == "completed":
            alike = tuple(row.get(key) for key in ALIKE)
            groups[(frozenset(without_seed(row["overrides"].split())), alike)].append(row)
    for group in groups.values():
        # The same once more is no other seed.
        seeds = {frozenset(row["overrides"].split()): row for row in group}.values()
        if len(seeds) < 2:
            continue
        for row in group:
            row["num_seeds"] = len(seeds)
        for score in SCORES:
            values = [row[score] for row in seeds if isinstance(row.get(score), float)]
            if len(values) == len(seeds):
                for row in group:
                    row[f"{score}/mean"] = statistics.fmean(values)
                    row[f"{score}/std"] = statistics.stdev(values)


def error_of_all() -> Exception | None:
    """Why no run of this process's sweep succeeded; None where one did, or there is no sweep."""
    if _ends:
        if None in _ends:
            return None
        first, count = _ends[0], len(_ends)
        if not isinstance(first, InputError):
            return first
        reason = one_line(first)
    else:  # a launcher's processes have run them
        rows = [row for sweep_dir in _sweep_dirs for row in write_summary(sweep_dir)]
        if not rows or {row["status"] for row in rows} != {"failed"}:
            return None
        reason, count = str(rows[0]["error"]), len(rows)
        if any(row["epochs"] for row in rows):
            return RuntimeError(reason)
    return InputError(f"{reason} (the first of {count} runs, of which none succeeded)")


def print_summary() -> None:
    """The table of every sweep that this process ran, on standard output."""
    for sweep_dir in _sweep_dirs:
        rows = write_summary(sweep_dir)
        if rows:
            print(f"\n{table(rows)}\n\nsummary     {sweep_dir / 'sweep.csv'}")
            print(f"dashboards  {tensorboard_command(sweep_dir)}", flush=True)


def _record(run_dir: Path) -> dict[str, Any]:
    try:
        return runs.read_record(run_dir)
    except ValueError as problem:  # the other jobs have their rows
        return {"status": "damaged", "error": str(problem)}


def _row(run_dir: Path, record: dict[str, Any]) -> dict[str, Any]:
    scores = (record.get("last_epoch") or {}) | (record.get("final_scores") or {})
    row = {
        "job": run_dir.name,
        "overrides": " ".join(record.get("overrides") or []),
        "seed": record.get("seed"),
        "status": record.get("status"),
    }
    row |= {score: scores.get(score) for score in SCORES}
    for key in ("val/is_std", "final/is_std", "final/kid", "final/class_kl"):
        row[key] = scores.get(key)
    row |= {"val/n": scores.get("val/n"), "final/n": scores.get("final/n")}
    for key in ("epochs", "encoder", "wall_time_s", "error"):
        row[key] = record.get(key)
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in words, a line each: what tells them apart, scores, why one failed; then means."""
    shown = [score for score in SHOWN if any(row.get(score) is not None for row in rows)]
    titles = [" ".join(parts) for parts in differing([row["overrides"].split() for row in rows])]
    lines = [["overrides", "status", *(SHOWN[score] for score in shown)]]
    lines += [
        [title, str(row["status"]), *(_number_text(row.get(score)) for score in shown)]
        for title, row in zip(titles, rows, strict=True)
    ]
    lines += _means(titles, rows, shown)
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    whole = sum(widths) + 2 * len(widths)
    room = max(MIN_REASON, shutil.get_terminal_size((MAX_WIDTH, 1)).columns - whole)
    reasons = ["", *(_cut(str(row.get("error") or ""), room) for row in rows)]
    if any(reasons):
        reasons[0] = "reason"
        for k, reason in enumerate(reasons):
            text[k] = f"{text[k].ljust(whole)}{reason}".rstrip()
    return "\n".join([text[0], "-" * len(text[0]), *text[1:]])


def _means(titles: list[str], rows: list[dict[str, Any]], shown: list[str]) -> Iterator[list[str]]:
    """A line for each mean over seeds, which says of how many."""
    of: dict[str, set[Any]] = defaultdict(set)
    means: dict[tuple[str, Any], dict[str, Any]] = {}
    for title, row in zip(titles, rows, strict=True):
        overrides = " ".join(without_seed(title.split()))
        of[overrides].add(title)
        if row.get("num_seeds"):
            means[overrides, tuple(row.get(key) for key in ALIKE)] = row
    for (overrides, _), row in means.items():
        count, total = row["num_seeds"], len(of[overrides])
        yield [
            overrides,
            f"{count} seeds" if count == total else f"{count} of {total} seeds",
            *(
                plus_minus(row[f"{score}/mean"], row[f"{score}/std"], ".4g", "+-")
                if f"{score}/mean" in row
                else ""
                for score in shown
            ),
        ]


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 3]}..."


def _number_text(value: Any) -> str:
    return "" if value is None else f"{value:.4g}"

"""The summary of a sweep: sweep.csv, a row a job, and a table on the screen."""

import csv
import io
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from thaw import runs
from thaw.commands.config import remember_varying
from thaw.commands.errors import Escaped, InputError
from thaw.commands.jobs import check_plugins
from thaw.commands.provenance import tensorboard_command
from thaw.reporting.labels import differing, without_seed
from thaw.reporting.numbers import plus_minus

SCORES = ("train/loss", "val/loss", "val/fid", "val/is_mean", "final/fid", "final/is_mean")
SHOWN = {
    "train/loss": "loss",
    "val/fid": "FID",
    "val/is_mean": "IS",
    "final/fid": "final FID",
    "final/is_mean": "final IS",
}
_sweep_dirs: list[Path] = []


class SweepSummary(Callback):
    """Rewrites sweep.csv as each job of a multirun ends; ``write_summaries`` is for its start.

    So a sweep that is killed has one too.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        try:
            check_plugins(config.hydra)
        except InputError as error:
            raise Escaped(error) from None  # Hydra would swallow it
        _sweep_dirs.append(Path(config.hydra.sweep.dir))
        remember_varying(config.hydra.overrides.task)

    def on_job_end(self, config: DictConfig, job_return: Any, **kwargs: Any) -> None:
        # This may be a process of a launcher, which has seen no sweep start.
        if config.hydra.mode == RunMode.MULTIRUN:
            write_summary(Path(config.hydra.sweep.dir))


def write_summaries() -> None:
    """Write sweep.csv of every sweep that this process runs."""
    for sweep_dir in _sweep_dirs:
        write_summary(sweep_dir)


def write_summary(sweep_dir: Path) -> list[dict[str, Any]]:
    """Write sweep.csv from the run.json of every job, and return its rows."""
    rows = [_row(path.parent) for path in sorted(sweep_dir.glob(f"*/{runs.RECORD}"), key=_number)]
    add_statistics_over_seeds(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    runs.write_text_atomically(sweep_dir / "sweep.csv", text.getvalue())
    return rows


def add_statistics_over_seeds(rows: list[dict[str, Any]]) -> None:
    """Give each row the mean and standard deviation over jobs that differ from it by seed only.

    Columns ``<score>/mean`` and ``<score>/std`` (of a sample, n - 1), and ``num_seeds``.
    """
    groups: dict[frozenset[str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[frozenset(without_seed(row["overrides"].split()))].append(row)
    for group in groups.values():
        for score in SCORES:
            values = [row[score] for row in group if isinstance(row.get(score), float)]
            if len(values) > 1:
                for row in group:
                    row[f"{score}/mean"] = statistics.fmean(values)
                    row[f"{score}/std"] = statistics.stdev(values)
                    row["num_seeds"] = len(values)


def print_summary() -> None:
    """The table of every sweep that this process ran, on standard output."""
    for sweep_dir in _sweep_dirs:
        rows = write_summary(sweep_dir)
        if rows:
            print(f"\n{_table(rows)}\n\nsummary     {sweep_dir / 'sweep.csv'}")
            print(f"dashboards  {tensorboard_command(sweep_dir)}", flush=True)


def _row(run_dir: Path) -> dict[str, Any]:
    try:
        record = runs.read_record(run_dir)
    except ValueError as problem:  # the other jobs have their rows
        record = {"status": "damaged", "error": str(problem)}
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


def _number(path: Path) -> tuple[int, str]:
    first = path.parent.name.split("_")[0]
    return (int(first) if first.isdigit() else sys.maxsize, path.parent.name)


def _table(rows: list[dict[str, Any]]) -> str:
    shown = [score for score in SHOWN if any(row.get(score) is not None for row in rows)]
    titles = [" ".join(parts) for parts in differing([row["overrides"].split() for row in rows])]
    lines = [["overrides", "status", *(SHOWN[score] for score in shown)]]
    lines += [
        [title, str(row["status"]), *(_number_text(row.get(score)) for score in shown)]
        for title, row in zip(titles, rows, strict=True)
    ]
    groups = {
        " ".join(without_seed(title.split())): row
        for title, row in zip(titles, rows, strict=True)
        if row.get("num_seeds")
    }
    for overrides, row in groups.items():
        cells = [
            plus_minus(row[f"{score}/mean"], row[f"{score}/std"], ".4g", "+-")
            if f"{score}/mean" in row
            else ""
            for score in shown
        ]
        lines.append([overrides, f"{row['num_seeds']} seeds", *cells])
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([text[0], "-" * len(text[0]), *text[1:]])


def _number_text(value: Any) -> str:
    return "" if value is None else f"{value:.4g}"

"""The summary of a sweep: sweep.csv, a row a job, and a table on the screen."""

import textwrap
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from thaw import runs, storage
from thaw.commands.errors import InputError
from thaw.metrics import table
from thaw.provenance import tensorboard_command
from thaw.reporting.labels import differing, in_order, without_seed
from thaw.reporting.numbers import plus_minus

# What must be equal, beside the overrides, for a mean over runs to mean anything.
ALIKE = ("epochs", "val/n", "final/n", "encoder")
ONE_SEED = "one seed each, so that a difference may be chance: seed=0,1,2 gives the spread"
_sweep_dirs: list[Path] = []


class SweepSummary(Callback):
    """Rewrites sweep.csv as each job of a multirun ends, so that a sweep that is killed has one."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        _sweep_dirs.append(Path(config.hydra.sweep.dir))

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
    if not sweep_dir.is_dir():  # moved or removed by now
        return []
    records = {path.parent: _record(path.parent) for path in sweep_dir.glob(f"*/{runs.RECORD}")}
    rows = [_row(run_dir, records[run_dir]) for run_dir in in_order(records)]
    add_statistics_over_seeds(rows)
    # Imported here, for it takes most of a second; objects, so that whole numbers stay whole.
    import pandas as pd

    text = pd.DataFrame(rows, dtype=object).to_csv(index=False, lineterminator="\n")
    storage.write_atomically(sweep_dir / "sweep.csv", text)
    return rows


def averaged() -> dict[str, str]:
    """Labels of the columns that have means over seeds and stand on the screen."""
    main = [score for score in table.GENERATED if score.is_main]
    return (
        {"train/loss": "loss", "val/loss": ""}
        | {f"val/{score.name}": score.label for score in main}
        | {f"final/{score.name}": f"final {score.label}" for score in main}
    )


def add_statistics_over_seeds(rows: list[dict[str, Any]]) -> None:
    """Give completed rows the mean and standard deviation over those that differ by seed only.

    Columns ``<score>/mean`` and ``<score>/std`` (of a sample, n - 1), and ``num_seeds``; of one
    seed the latter alone. Rows that are not completed, or were trained or scored otherwise, are
    left out, and so is a score that one row of a group lacks.
    """
    import pandas as pd

    frame = pd.DataFrame(rows, columns=["overrides", "status", *ALIKE, *averaged()])
    parts = [row["overrides"].split() for row in rows]
    frame["job"] = [" ".join(sorted(part)) for part in parts]
    frame["experiment"] = [" ".join(sorted(without_seed(part))) for part in parts]
    completed = frame[frame["status"].fillna("completed") == "completed"]
    for _, group in completed.groupby(["experiment", *ALIKE], dropna=False, sort=False):
        seeds = group.drop_duplicates("job", keep="last")  # the same once more is not another seed
        for k in group.index:
            rows[k]["num_seeds"] = len(seeds)
        if len(seeds) < 2:
            continue
        scores = (
            seeds[list(averaged())].apply(pd.to_numeric, errors="coerce").dropna(axis="columns")
        )
        found = {
            f"{name}/{statistic}": value
            for name, column in scores.dropna(axis="columns").items()
            for statistic, value in (("mean", column.mean()), ("std", column.std()))
        }
        for k in group.index:
            rows[k] |= found


def error_of_all() -> Exception | None:
    """Why no run of this process's sweep succeeded; None where one did, or there is no sweep.

    A search gets over runs that fail. Where it had no others it has found nothing.
    """
    rows = [row for sweep_dir in _sweep_dirs for row in write_summary(sweep_dir)]
    if not rows or {row["status"] for row in rows} != {"failed"}:
        return None
    reason = str(rows[0]["error"])
    if any(row["epochs"] for row in rows):
        return RuntimeError(reason)
    return InputError(f"{reason} (the first of {len(rows)} runs, of which none succeeded)")


def print_summary() -> None:
    """The table of every sweep that this process ran, on standard output."""
    for sweep_dir in _sweep_dirs:
        rows = write_summary(sweep_dir)
        if rows:
            print(f"\n{screen_table(rows)}\n\nsummary     {sweep_dir / 'sweep.csv'}")
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
    main = [score for score in table.GENERATED if score.is_main]
    errors = [f"{when}/{score.std}" for when in ("val", "final") for score in main if score.std]
    rest = [f"final/{score.name}" for score in table.GENERATED if score not in main]
    row |= {key: scores.get(key) for key in (*averaged(), *errors, *rest, "val/n", "final/n")}
    sampling = [f"final/{score.error}" for score in table.GENERATED]
    row |= {key: scores[key] for key in sampling if key in scores}
    row |= {
        key: record.get(key) for key in ("epochs", "encoder", "wall_time_s", runs.ENDED_BY, "error")
    }
    return row


def screen_table(rows: list[dict[str, Any]]) -> str:
    """A line for each row: overrides that differ, status, scores and why it failed; then means."""
    labels = {key: label for key, label in averaged().items() if label}
    shown = [key for key in labels if any(row.get(key) is not None for row in rows)]
    titles = [" ".join(parts) for parts in differing([row["overrides"].split() for row in rows])]
    lines = [["overrides", "status", *(labels[key] for key in shown)]]
    lines += [
        [
            title,
            str(row["status"]),
            *("" if row[key] is None else f"{row[key]:.4g}" for key in shown),
        ]
        for title, row in zip(titles, rows, strict=True)
    ]
    lines += _means(titles, rows, shown)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join(map(str.ljust, line, widths)) for line in lines]
    reasons = [str(row["error"] or row[runs.ENDED_BY] or "") for row in rows]
    reasons = [textwrap.shorten(reason, 100, placeholder="...") for reason in reasons]
    if any(reasons):
        text = [
            f"{line}  {reason}"
            for line, reason in zip_longest(text, ["reason", *reasons], fillvalue="")
        ]
    text = [line.rstrip() for line in text]
    if len([row for row in rows if row.get("num_seeds") == 1]) > 1:
        text += ["", ONE_SEED]
    return "\n".join([text[0], "-" * len(text[0]), *text[1:]])


def _means(titles: list[str], rows: list[dict[str, Any]], shown: list[str]) -> Iterator[list[str]]:
    """A line for each mean over seeds, with their number."""
    groups = [" ".join(without_seed(title.split())) for title in titles]
    found = zip(groups, rows, strict=True)
    means = {
        (group, *(row[key] for key in ALIKE)): row
        for group, row in found
        if row.get("num_seeds", 1) > 1
    }
    for (overrides, *_), row in means.items():
        seeds = {title for title, group in zip(titles, groups, strict=True) if group == overrides}
        count, total = row["num_seeds"], len(seeds)
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

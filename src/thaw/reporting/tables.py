"""Tables of a report: what differed, what came out, what it cost, and where it ran."""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from thaw.reporting.finished import FinishedRun, Group

MISSING = "--"
LATEX_HEAD = r"% needs \usepackage{booktabs} and \usepackage[T1]{fontenc}"
# Groups of the configuration, whose choice says more than the class it names.
CHOICES = (
    "degradation", "schedule", "model", "prediction", "objective", "sampler", "prior",
    "optimizer", "lr_scheduler", "data",
)  # fmt: skip
HIDDEN = ("callbacks.", "logger.", "resume", "name", "sweep.", "seed", "data.root",
          "data.source", "metrics.suite", "trainer.enable_", "prior.seed",
          "degradation.seed", "data.seed", "degradation.schedule")  # fmt: skip
VERSIONS = "versions."


@dataclass(frozen=True)
class Number:
    """A measured value: mean over ``count`` seeds, their standard deviation, and how to show it."""

    mean: float
    std: float | None = None
    count: int = 1
    places: str = ".3g"

    def __str__(self) -> str:
        text = format(self.mean, self.places)
        if not text.strip("-0.,"):
            text = text.removeprefix("-")
        return text if self.std is None else f"{text} ± {self.std:.2g}"


Cell = str | Number


@dataclass(frozen=True)
class Table:
    """Named columns and rows of cells; the first column says what a row is."""

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    folded: bool = False

    def write(self, folder: Path) -> None:
        """``name.csv`` (numbers in full, ``±`` in columns of their own) and ``name.tex``."""
        folder.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(self._full_rows()).to_csv(folder / f"{self.name}.csv", index=False)
        shown = pd.DataFrame([list(map(str, row)) for row in self.rows], columns=[*self.columns])
        alignment = "l" + "".join("r" if self._is_number(k) else "l" for k in self._others())
        text = shown.to_latex(index=False, escape=True, caption=_latex(self.caption),
                              label=f"tab:{self.name}", column_format=alignment)  # fmt: skip
        text = text.replace("±", r"$\pm$")
        (folder / f"{self.name}.tex").write_text(
            f"% needs \\usepackage{{booktabs}} and \\usepackage[T1]{{fontenc}}\n{text}",
            encoding="utf-8",
        )

    def is_number(self, column: int) -> bool:
        """Whether a column holds numbers (and is set flush right)."""
        return column > 0 and self._is_number(column)

    def _others(self) -> range:
        return range(1, len(self.columns))

    def _is_number(self, column: int) -> bool:
        cells = [row[column] for row in self.rows]
        return any(isinstance(cell, Number) for cell in cells)

    def _full_rows(self) -> Iterator[dict[str, str | float | int]]:
        for row in self.rows:
            full: dict[str, str | float | int] = {}
            for column, cell in zip(self.columns, row, strict=True):
                if isinstance(cell, Number):
                    full[column] = cell.mean
                    if cell.std is not None:
                        full |= {f"{column} std": cell.std, f"{column} seeds": cell.count}
                else:
                    full[column] = "" if cell == MISSING else cell
            yield full


def over_seeds(
    group: Group, value: Callable[[FinishedRun], Any], places: str = ".3g", scale: float = 1
) -> Cell:
    """The mean of a value over a group's runs that have it, with its standard deviation (n - 1)."""
    found = [value(run) for run in group.members]
    numbers = [
        scale * entry for entry in found if isinstance(entry, int | float) and math.isfinite(entry)
    ]
    if not numbers:
        return MISSING
    std = statistics.stdev(numbers) if len(set(numbers)) > 1 else None
    return Number(statistics.fmean(numbers), std, len(numbers), places)


def _last(name: str) -> Callable[[FinishedRun], Any]:
    return lambda run: run.last_epoch.get(name)


def _final(name: str) -> Callable[[FinishedRun], Any]:
    return lambda run: run.final.get(f"final/{name}")


def _restored(stage: str, name: str) -> Callable[[FinishedRun], Any]:
    def value(run: FinishedRun) -> Any:
        scores = run.restoration.get(stage)
        return scores.get(name) if isinstance(scores, dict) else None

    return value


def _text(group: Group, value: Callable[[FinishedRun], Any]) -> str:
    found = list(dict.fromkeys(str(value(run)) for run in group.members if value(run) is not None))
    return ", ".join(found) or MISSING


def results(groups: Sequence[Group]) -> Table:
    """A row a group: final loss, the robust estimate, restoration, time and size."""
    columns = ["run", "epochs", "seeds", "loss", "val. loss", "FID", "IS", "KID", "class KL",
               "classes", "N", "PSNR direct (dB)", "PSNR sampled (dB)", "time (min)",
               "parameters"]  # fmt: skip
    rows: list[list[Cell]] = [
        [
            group.title,
            over_seeds(group, lambda run: run.record.get("epochs"), ".0f"),
            Number(len(group.members), places=".0f"),
            over_seeds(group, _last("train/loss"), ".4f"),
            over_seeds(group, _last("val/loss"), ".4f"),
            over_seeds(group, _final("fid"), ".2f"),
            over_seeds(group, _final("is_mean"), ".2f"),
            over_seeds(group, _final("kid"), ".3f"),
            over_seeds(group, _final("class_kl"), ".3f"),
            over_seeds(group, _final("num_classes"), ".0f"),
            over_seeds(group, _final("n"), ".0f"),
            over_seeds(group, _restored("direct", "psnr"), ".2f"),
            over_seeds(group, _restored("sampled", "psnr"), ".2f"),
            over_seeds(group, lambda run: run.record.get("wall_time_s"), ".1f", 1 / 60),
            over_seeds(group, lambda run: run.record.get("num_parameters"), ",.0f"),
        ]
        for group in groups
    ]
    rows += [_floor_row(group, len(columns)) for group in _one_for_each_n(groups)]
    columns, rows = _without_empty(columns, rows)
    return Table(
        "results",
        "Results of each run after its last epoch. FID, IS, KID and class balance (KL divergence "
        "of the generated classes from the data's) are of N images generated from the prior; real "
        "test images at the same N score what the last rows say. PSNR is of test images degraded "
        "all the way and restored at once (direct) or by the sampler.",
        columns,
        rows,
    )


def _without_empty(
    columns: list[str], rows: list[list[Cell]]
) -> tuple[list[str], list[list[Cell]]]:
    """The columns that say something: a value anywhere, or more than one seed."""
    kept = [
        k
        for k, column in enumerate(columns)
        if any(row[k] != MISSING for row in rows)
        and not (column == "seeds" and all(str(row[k]) in ("1", MISSING) for row in rows))
    ]
    return [columns[k] for k in kept], [[row[k] for k in kept] for row in rows]


def _one_for_each_n(groups: Sequence[Group]) -> list[Group]:
    sizes = {group.first.final.get("final/n"): group for group in reversed(groups)}
    return [group for n, group in sorted(sizes.items(), key=str) if n is not None]


def _floor_row(group: Group, length: int) -> list[Cell]:
    row: list[Cell] = ["real test images", *[MISSING] * (length - 1)]
    floors = {5: ("fid", ".2f"), 6: ("is", ".2f"), 7: ("kid", ".3f"), 8: ("class_kl", ".3f")}
    for column, (name, places) in floors.items():
        row[column] = over_seeds(Group("", [group.first]), _final(f"{name}_floor"), places)
    row[10] = over_seeds(Group("", [group.first]), _final("n"), ".0f")
    return row


def estimates(groups: Sequence[Group]) -> Table:
    """The last per-epoch scores beside the robust estimate, with N, sampler and floors."""
    columns = ["run", "estimate", "FID", "FID floor", "IS", "IS of real", "precision", "recall",
               "N", "sampler", "encoder"]  # fmt: skip
    rows: list[list[Cell]] = []
    for group in groups:
        for title, value in (("last epoch", _last_score), ("robust", _final)):
            if over_seeds(group, value("fid")) == MISSING:
                continue
            rows.append([
                group.title,
                title,
                over_seeds(group, value("fid"), ".2f"),
                over_seeds(group, value("fid_floor"), ".2f"),
                over_seeds(group, value("is_mean"), ".2f"),
                over_seeds(group, value("is_floor"), ".2f"),
                over_seeds(group, value("precision"), ".3f"),
                over_seeds(group, value("recall"), ".3f"),
                over_seeds(group, value("n"), ".0f"),
                _text(group, value("sampler")),
                _text(group, value("encoder")),
            ])  # fmt: skip
    return Table(
        "estimates",
        "The scores of the last epoch beside the robust estimate of the same weights.",
        columns,
        rows,
    )


def _last_score(name: str) -> Callable[[FinishedRun], Any]:
    return _last(f"val/{name}")


def restorations(groups: Sequence[Group]) -> Table:
    """How close degraded test images come back, at once and by the sampler."""
    columns = ["run", "images", "PSNR (dB)", "SSIM", "RMSE", "N", "sampler"]
    rows: list[list[Cell]] = [
        [
            group.title,
            stage,
            over_seeds(group, _restored(stage, "psnr"), ".2f"),
            over_seeds(group, _restored(stage, "ssim"), ".3f"),
            over_seeds(group, _restored(stage, "rmse"), ".4f"),
            over_seeds(group, lambda run: run.restoration.get("n"), ".0f"),
            _text(group, lambda run: run.restoration.get("sampler")),
        ]
        for group in groups
        if "direct" in group.first.restoration
        for stage in ("degraded", "direct", "sampled")
    ]
    return Table(
        "restoration",
        "Test images degraded all the way (t = T) and restored: by one prediction (direct), and "
        "step by step (sampled). RMSE in the images' own units, whose range has width 1 unless "
        "the configuration says otherwise.",
        columns,
        rows,
    )


def hyperparameters(groups: Sequence[Group]) -> tuple[Table, Table]:
    """What differs between the groups, and what they share; without those whose run has none."""
    groups = [group for group in groups if group.first.config]
    flat = [_settings(group.first) for group in groups]
    keys = list(dict.fromkeys(key for settings in flat for key in settings))
    values = {key: [settings.get(key, MISSING) for settings in flat] for key in keys}
    common = [key for key in keys if len(set(values[key])) == 1]
    different = Table(
        "hyperparameters",
        "Hyperparameters that differ between the runs.",
        ["hyperparameter", *(group.title for group in groups)],
        [[key, *values[key]] for key in keys if key not in common],
    )
    shared = Table(
        "hyperparameters_shared",
        "Hyperparameters that all runs share.",
        ["hyperparameter", "value"],
        [[key, values[key][0]] for key in common],
        folded=True,
    )
    return different, shared


def _settings(run: FinishedRun) -> dict[str, str]:
    config = run.config
    choices = run.record.get("choices")
    choices = choices if isinstance(choices, dict) else {}
    found = {group: str(choices[group]) for group in CHOICES if choices.get(group) is not None}
    degradation = config.get("degradation")
    if isinstance(degradation, dict) and "schedule" not in degradation:  # composed, unused
        config = {key: value for key, value in config.items() if key != "schedule"}
        found.pop("schedule", None)
    leaves = _flatten(config)
    return found | {key: text for key, text in leaves.items() if not key.startswith(HIDDEN)}


def _flatten(config: Any, path: str = "") -> dict[str, str]:
    if not isinstance(config, Mapping):
        return {path: _plain(config)}
    found: dict[str, str] = {}
    for key, value in config.items():
        if str(key) not in ("_target_", "_partial_"):
            found |= _flatten(value, f"{path}.{key}" if path else str(key))
    return found


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return "none" if value is None else str(value)


def environment(groups: Sequence[Group]) -> Table:
    """Machine, versions, commit and data; where runs differ, each value with its runs."""
    found: dict[str, dict[str, list[str]]] = {}
    for group in groups:
        for key, value in _surroundings(group.first):
            found.setdefault(key, {}).setdefault(value, []).append(group.title)
    rows = [
        [key, next(iter(values)) if len(values) == 1 else "; ".join(
            f"{value} ({', '.join(titles)})" for value, titles in values.items()
        )]
        for key, values in found.items()
    ]  # fmt: skip
    return Table("environment", "Where the runs were made.", ["what", "value"], rows)


def _surroundings(run: FinishedRun) -> Iterator[tuple[str, str]]:
    record = run.record
    for key in ("device", "cpu", "num_threads", "encoder"):
        if record.get(key) is not None:
            yield key.replace("_", " "), str(record[key])
    for name, entries in (("data", record.get("dataset")), ("git", record.get("git"))):
        if isinstance(entries, Mapping):
            yield name, ", ".join(f"{key} {_plain(value)}" for key, value in entries.items())
    versions = record.get("versions")
    if isinstance(versions, Mapping):
        yield from ((str(name), _plain(version)) for name, version in versions.items())


def _latex(text: str) -> str:
    """A caption's special characters, as pandas escapes those of cells only."""
    for character in "&%$#_{}":
        text = text.replace(character, f"\\{character}")
    return text

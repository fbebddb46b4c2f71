"""Tables of what came out: results, both estimates of the scores, restorations."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from thaw.diffusion.restoration import STAGES
from thaw.reporting.finished import FinishedRun, Group
from thaw.reporting.panels import stage_title
from thaw.reporting.tables import MISSING, Cell, Number, Table, over_seeds

# Rows of a table that is folded away.
LONG = 50
# A column of the results each.
PSNR = {
    "direct": "PSNR direct (dB)",
    "algorithm_1": "PSNR Algorithm 1 (dB)",
    "algorithm_2": "PSNR Algorithm 2 (dB)",
    "sampled": "PSNR sampled (dB)",
}


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


def fid(group: Group) -> float:
    """Of the robust estimate, else of the last epoch; infinite where there is none."""
    found = [over_seeds(group, value("fid")) for value in (_final, _last_score)]
    return next((cell.mean for cell in found if isinstance(cell, Number)), math.inf)


def best(groups: Sequence[Group], count: int) -> list[Group]:
    """The ``count`` groups of the lowest FID, in their order; those without one come last."""
    chosen = sorted(range(len(groups)), key=lambda k: fid(groups[k]))[:count]
    return [groups[k] for k in sorted(chosen)]


def results(groups: Sequence[Group]) -> Table:
    """A row a group: final loss, the robust estimate, restoration, time and size."""
    columns = ["run", "epochs", "seeds", "loss", "val. loss", "FID", "IS", "KID", "class KL",
               "classes", "N", *PSNR.values(), "time (min)", "parameters", "status"]  # fmt: skip
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
            *(over_seeds(group, _restored(stage, "psnr"), ".2f") for stage in PSNR),
            over_seeds(group, lambda run: run.record.get("wall_time_s"), ".1f", 1 / 60),
            over_seeds(group, lambda run: run.record.get("num_parameters"), ",.0f"),
            _text(group, lambda run: run.status),
        ]
        for group in groups
    ]
    rows += [_floor_row(group, len(columns)) for group in _one_for_each_n(groups)]
    columns, rows = _without_empty(columns, rows)
    return Table(
        "results",
        "Results of each run after its last epoch, and means over those that are completed. FID, "
        "IS, KID and class balance (KL divergence of the generated classes from the data's) are of "
        "N images generated from the prior; real test images at the same N score what the last "
        "rows say. PSNR is of test images degraded all the way and restored at once (direct), by "
        "Algorithms 1 and 2, or by the sampler.",
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
    numbered = [(group.first.final.get("final/n"), group) for group in reversed(groups)]
    sizes = {n: group for n, group in numbered if isinstance(n, int | float)}
    return [group for _, group in sorted(sizes.items(), key=str)]


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
        folded=len(rows) > LONG,
    )


def evaluations(groups: Sequence[Group]) -> Table:
    """What ``evaluate.py`` found later: a row each, with the prior and the sampler it used."""
    columns = ["run", "images", "sampler", "FID", "FID floor", "IS", "precision", "recall",
               "class KL", "classes", "N"]  # fmt: skip
    rows: list[list[Cell]] = [
        [
            group.title,
            _said(scores, "images"),
            _said(scores, "sampler"),
            *(
                _number(scores.get(name), places)
                for name, places in (
                    ("fid", ".2f"),
                    ("fid_floor", ".2f"),
                    ("is_mean", ".2f"),
                    ("precision", ".3f"),
                    ("recall", ".3f"),
                    ("class_kl", ".3f"),
                    ("num_classes", ".0f"),
                    ("n", ".0f"),
                )
            ),
        ]
        for group in groups
        for run in group.members
        for evaluation in run.evaluations
        if isinstance(scores := evaluation.get("generated"), dict)
    ]
    return Table(
        "evaluations",
        "Each later evaluation of a run's checkpoint (evaluate.py): where its images started, the "
        "sampler, and their scores.",
        columns,
        rows,
        folded=len(rows) > LONG,
    )


def _number(value: Any, places: str) -> Cell:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Number(value, places=places) if is_number else MISSING


def _said(scores: dict[str, Any], name: str) -> str:
    return str(scores.get(name, MISSING))


def _last_score(name: str) -> Callable[[FinishedRun], Any]:
    return _last(f"val/{name}")


def restorations(groups: Sequence[Group]) -> Table:
    """How close degraded test images come back, at once and step by step: a row a stage."""
    columns = ["run", "images", "PSNR (dB)", "SSIM", "RMSE", "FID", "FID floor", "N", "sampler"]
    rows: list[list[Cell]] = [
        [
            group.title,
            stage_title(stage),
            over_seeds(group, _restored(stage, "psnr"), ".2f"),
            over_seeds(group, _restored(stage, "ssim"), ".3f"),
            over_seeds(group, _restored(stage, "rmse"), ".4f"),
            over_seeds(group, _restored(stage, "fid"), ".2f"),
            over_seeds(group, lambda run: run.restoration.get("fid_floor"), ".2f"),
            over_seeds(group, lambda run: run.restoration.get("n"), ".0f"),
            _text(group, lambda run: run.restoration.get("sampler")),
        ]
        for group in groups
        for stage in STAGES
        if isinstance(group.first.restoration.get(stage), dict)
    ]
    columns, rows = _without_empty(columns, rows)
    return Table(
        "restoration",
        "Test images degraded all the way (t = T) and restored from that same x_T: by one "
        "prediction (direct), and step by step, by Algorithms 1 and 2 of Cold Diffusion with the "
        "sampler's steps, or by a sampler that is neither (sampled). FID is of the N restored "
        "images. RMSE in the images' own units, whose range has width 1 unless the configuration "
        "says otherwise.",
        columns,
        rows,
        folded=len(rows) > LONG,
    )

"""Tables of what came out: results, scores by when they were measured, restorations."""

import math
from collections.abc import Callable, Sequence
from functools import partial

from thaw.diffusion.restoration import STAGES, stage_title
from thaw.metrics import table
from thaw.metrics.table import Score
from thaw.reporting.captions import (
    WAYS,
    Value,
    about_restored,
    about_results,
    conditions,
    restored_column,
    seeds_in_words,
)
from thaw.reporting.finished import FinishedRun
from thaw.reporting.groups import Group
from thaw.reporting.tables import MISSING, Cell, Number, Table, over_seeds

ERRORS = "An error is the sampling error, that of scoring N images and not all."
FLOOR = "floor: real test images"


def _at(*keys: str) -> Value:
    return lambda run: run.get(*keys)


def _last(name: str) -> Value:
    return _at("last_epoch", f"val/{name}")


def _final(name: str) -> Value:
    return _at("final_scores", f"final/{name}")


def _generated(name: str) -> Value:
    return _at("generated", name)


def _text(group: Group, value: Value) -> str:
    found = list(dict.fromkeys(str(value(run)) for run in group.members if value(run) is not None))
    return ", ".join(found) or MISSING


def _score_cells(
    group: Group, value: Callable[[str], Value], in_full: bool = True
) -> dict[str, Cell]:
    """Every score of generated images, in full with sampling errors and main floors, and N."""
    cells: dict[str, Cell] = {}
    for score in table.GENERATED:
        cells[score.label] = over_seeds(group, value(score.name), score.format)
        if in_full:
            cells[f"{score.label} error"] = over_seeds(group, value(score.error), ".2g")
        if in_full and score.is_main:
            cells[f"{score.label} floor"] = over_seeds(group, value(score.floor), score.format)
    return cells | {"N": over_seeds(group, value("n"), ".0f")}


def best(groups: Sequence[Group], count: int) -> list[Group]:
    """The ``count`` best groups, in their order; those without a score come last."""
    chosen = sorted(range(len(groups)), key=lambda k: badness(groups[k]))[:count]
    return [groups[k] for k in sorted(chosen)]


def badness(group: Group) -> float:
    """The first score of the table, final or else of the last epoch; the smallest is the best.

    Infinite for a group without a score.
    """
    score = table.GENERATED[0]
    found = (over_seeds(group, value(score.name)) for value in (_final, _last))
    value = next((cell.mean for cell in found if isinstance(cell, Number)), math.inf)
    return value if score.lower_is_better or math.isinf(value) else -value


def results(groups: Sequence[Group]) -> Table:
    """A row for each group: final loss, final scores, restoration, time and size; then floors."""
    n = _final("n")
    several = any(len(group.members) > 1 for group in groups)
    rows = [
        {
            "run": group.title,
            "epochs": over_seeds(group, _at("epochs"), ".0f"),
            "seeds": Number(len(group.members), places=".0f") if several else MISSING,
            "loss": over_seeds(group, _at("last_epoch", "train/loss"), ".4f"),
            "val. loss": over_seeds(group, _last("loss"), ".4f"),
            **_score_cells(group, _final, in_full=False),
            **_main_restored(group),
            "time (min)": over_seeds(group, _at("wall_time_s"), ".1f", 1 / 60),
            "parameters": over_seeds(group, _at("num_parameters"), ",.0f"),
            "status": _text(group, lambda run: run.status),
        }
        for group in groups
    ]
    floors = [
        {"run": FLOOR, **_floors(alone, _final, table.GENERATED), "N": over_seeds(alone, n, ".0f")}
        for alone in _one_for_each_n(groups)
    ]
    measured = conditions(groups, n, _final("encoder"))
    caption = partial(
        about_results,
        seeds=seeds_in_words(groups),
        measured=measured,
        has_floors=bool(floors),
    )
    return Table.of("results", caption, [*rows, *floors], math.inf, len(floors))


def _main_restored(group: Group) -> dict[str, Cell]:
    score = table.RESTORED[0]
    return {
        restored_column(stage): over_seeds(
            group, _at("restoration", stage, score.name), score.format
        )
        for stage in WAYS
    }


def _one_for_each_n(groups: Sequence[Group]) -> list[Group]:
    """The first run of each number of images that was scored, as a group of its own."""
    found = {group.first.get("final_scores", "final/n"): group.first for group in reversed(groups)}
    return [Group("", [run]) for n, run in sorted(found.items(), key=str) if n is not None]


def _floors(
    group: Group, value: Callable[[str], Value], scores: Sequence[Score], end: str = ""
) -> dict[str, Cell]:
    return {f"{s.label}{end}": over_seeds(group, value(s.floor), s.format) for s in scores}


def estimates(groups: Sequence[Group]) -> Table:
    """The scores of the last epoch beside the final ones, with floors, N, sampler and encoder."""
    rows = [
        {
            "run": group.title,
            "scores": when,
            **cells,
            "sampler": _text(group, value("sampler")),
            "encoder": _text(group, value("encoder")),
        }
        for group in groups
        for when, value in (("last epoch", _last), ("final", _final))
        if (cells := _score_cells(group, value))[table.GENERATED[0].label] != MISSING
    ]
    return Table.of(
        "estimates",
        "The scores of the last epoch, of few images by a sampler of few steps, beside the final "
        f"scores of the same weights, {seeds_in_words(groups)}. {ERRORS}",
        rows,
    )


def evaluations(groups: Sequence[Group]) -> Table:
    """What ``evaluate.py`` found later: a row each, with the prior and the sampler it used."""
    rows = [
        {
            "run": group.title,
            "images": _text(evaluation, _generated("images")),
            "sampler": _text(evaluation, _generated("sampler")),
            **_score_cells(evaluation, _generated),
        }
        for group in groups
        for run in group.members
        for record in run.evaluations
        if "generated" in record
        for evaluation in [Group("", [FinishedRun(run.directory, record)])]
    ]
    return Table.of(
        "evaluations",
        "Each later evaluation of a run's checkpoint (evaluate.py): how its images were generated, "
        f"and their scores. {ERRORS}",
        rows,
    )


def restorations(groups: Sequence[Group]) -> Table:
    """How close degraded test images come back, at once and step by step: a row for each stage."""
    rows = [
        {
            "run": group.title,
            "images": stage_title(stage),
            **{
                f"{score.label} ({score.unit})" if score.unit else score.label: over_seeds(
                    group, _at("restoration", stage, score.name), score.format
                )
                for score in table.RESTORED
            },
            **_floors(group, lambda name: _at("restoration", name), table.RESTORED, " floor"),
            "N": over_seeds(group, _at("restoration", "n"), ".0f"),
            "sampler": _text(group, _at("restoration", "sampler")),
        }
        for group in groups
        for stage in STAGES
        if isinstance(group.first.get("restoration", stage), dict)
    ]
    there = [stage for stage in STAGES if stage_title(stage) in {row["images"] for row in rows}]
    measured = conditions(groups, _at("restoration", "n"), _at("encoder"))
    return Table.of("restoration", partial(about_restored, there=there, measured=measured), rows)

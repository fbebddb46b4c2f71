"""Tables of how runs were made: their hyperparameters and where they ran."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from thaw.groups import HYPERPARAMETERS
from thaw.reporting.finished import FinishedRun
from thaw.reporting.groups import Group
from thaw.reporting.tables import MISSING, Table

MAX_COLUMNS = 12
MAX_LISTED = 60
# What a checksum or a commit is in tables; run.json has all of it.
CHECKSUM = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{20,}\b")
HIDDEN = ("callbacks.", "logger.", "resume", "replay", "trusted", "name", "sweep.", "seed",
          "data.root", "data.source", "metrics.suite", "trainer.enable_", "prior.seed",
          "degradation.seed", "data.seed", "degradation.schedule")  # fmt: skip


def hyperparameters(groups: Sequence[Group]) -> tuple[Table, Table]:
    """What differs between the groups, and what they share; without those whose run has none."""
    groups = [group for group in groups if group.first.get("config")]
    settings = pd.DataFrame([settings_of(group.first) for group in groups], dtype=object)
    settings = settings.fillna(MISSING)
    settings.index = pd.Index([group.title for group in groups])
    differs = settings.nunique() > 1
    differing, common = settings.loc[:, differs], settings.loc[:, ~differs]
    first = "run"
    if len(groups) <= MAX_COLUMNS:  # with more, a row for each run fits a page
        differing, first = differing.T, "hyperparameter"
    different = Table(
        "hyperparameters",
        "Hyperparameters that differ between the runs.",
        [first, *differing.columns],
        [list(row) for row in differing.itertuples()] if differs.any() else [],
    )
    shared = Table(
        "hyperparameters_shared",
        "Hyperparameters that all runs share.",
        ["hyperparameter", "value"],
        [[key, values.iloc[0]] for key, values in common.items()],
        folded=True,
    )
    return different, shared


def settings_of(run: FinishedRun) -> dict[str, str]:
    """Choices and values of a run's configuration, as far as they say how it was made."""
    config = run.get("config") or {}
    choices = run.get("choices") or {}
    found = {
        group: str(choices[group]) for group in HYPERPARAMETERS if choices.get(group) is not None
    }
    if "schedule" not in config.get("degradation", {}):  # composed, unused
        config = {key: value for key, value in config.items() if key != "schedule"}
        found.pop("schedule", None)
    leaves = pd.json_normalize(config).to_dict("records")[0] if config else {}
    return found | {
        key: _plain(value)
        for key, value in leaves.items()
        if not key.startswith(HIDDEN) and not key.endswith(("_target_", "_partial_"))
    }


def _plain(value: Any) -> str:
    if isinstance(value, list) and len(value) > MAX_LISTED:  # such as a schedule's table
        ends = [*value[:3], "...", value[-1]]
        return f"{', '.join(map(_plain, ends))} ({len(value)} values)"
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
    for key in ("device", "cpu", "num_threads", "encoder"):
        if run.get(key) is not None:
            yield key.replace("_", " "), str(run.get(key))
    for name, key in (("data", "dataset"), ("git", "git")):
        # There may be a thousand classes.
        shown = {key: value for key, value in (run.get(key) or {}).items() if key != "classes"}
        if shown:
            words = ", ".join(f"{key} {_plain(value)}" for key, value in shown.items())
            yield name, CHECKSUM.sub(r"\1", words)
    yield from (run.get("versions") or {}).items()

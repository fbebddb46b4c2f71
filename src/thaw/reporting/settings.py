"""Tables of how runs were made: their hyperparameters and where they ran."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from thaw.reporting.finished import FinishedRun
from thaw.reporting.groups import Group
from thaw.reporting.tables import MISSING, Table

# Groups of the configuration, whose choice says more than the class it names.
CHOICES = (
    "degradation", "schedule", "model", "prediction", "objective", "objective/weighting",
    "objective/timesteps", "sampler", "sampler/grid", "prior", "optimizer", "lr_scheduler", "ema",
    "data",
)  # fmt: skip
MAX_COLUMNS = 12
HIDDEN = ("callbacks.", "logger.", "resume", "replay", "trusted", "name", "sweep.", "seed",
          "data.root", "data.source", "metrics.suite", "trainer.enable_", "prior.seed",
          "degradation.seed", "data.seed", "degradation.schedule")  # fmt: skip


def hyperparameters(groups: Sequence[Group]) -> tuple[Table, Table]:
    """What differs between the groups, and what they share; without those whose run has none."""
    groups = [group for group in groups if group.first.config]
    flat = [_settings(group.first) for group in groups]
    keys = list(dict.fromkeys(key for settings in flat for key in settings))
    values = {key: [settings.get(key, MISSING) for settings in flat] for key in keys}
    common = [key for key in keys if len(set(values[key])) == 1]
    differing = [key for key in keys if key not in common]
    titles = [group.title for group in groups]
    columns, rows = ["hyperparameter", *titles], [[key, *values[key]] for key in differing]
    if len(titles) > MAX_COLUMNS:  # a row a run, which fits a page
        columns = ["run", *differing]
        rows = [[title, *(values[key][k] for key in differing)] for k, title in enumerate(titles)]
    different = Table(
        "hyperparameters",
        "Hyperparameters that differ between the runs.",
        columns,
        rows if differing else [],
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
            # Of classes there may be a thousand.
            shown = [(key, value) for key, value in entries.items() if key != "classes"]
            yield name, ", ".join(f"{key} {_plain(value)}" for key, value in shown)
    versions = record.get("versions")
    if isinstance(versions, Mapping):
        yield from ((str(name), _plain(version)) for name, version in versions.items())

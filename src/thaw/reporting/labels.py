"""What tells runs apart, short labels from their overrides; and the order of a sweep's runs."""

import re
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

# Beginnings of overrides that do not change the model that is trained.
ASIDE = ("metrics", "callbacks", "logger", "sweep.", "data.root", "trainer.accelerator")
DEFAULT = "default"


def differing(overrides: Sequence[Sequence[str]]) -> list[list[str]]:
    """The overrides of each run that not every run has; all of them where it is alone."""
    if len(overrides) == 1:
        return [list(overrides[0])]
    shared = set.intersection(*map(set, overrides)) if overrides else set()
    return [[part for part in parts if part not in shared] for parts in overrides]


def without_seed(overrides: Sequence[str]) -> list[str]:
    """The overrides but for ``seed=...``: equal in runs that repeat one experiment."""
    return [part for part in overrides if not part.startswith("seed=")]


def labels(
    overrides: Sequence[Sequence[str]],
    names: Sequence[str | None],
    given: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """A label for each run: its name where it has one, else the overrides that others lack.

    Overrides of how a run is scored and shown are left out where the rest tells the runs apart; an
    experiment is called by its name alone. ``given`` has names for overrides and for whole labels.
    No two labels are the same.
    """
    # Where a key is given twice, the last value counts.
    last = [list({part.partition("=")[0]: part for part in parts}.values()) for parts in overrides]
    differences = differing(last)
    brief = [[part for part in parts if not part.startswith(ASIDE)] for parts in differences]
    if len(set(map(tuple, brief))) == len(set(map(tuple, differences))):
        differences = brief
    found = []
    for name, parts in zip(names, differences, strict=True):
        label = name or " ".join(map(_short, parts)) or DEFAULT
        words = [given.get(part, given.get(_short(part), _short(part))) for part in parts]
        found.append(given.get(label) or name or " ".join(words) or DEFAULT)
    return distinct(found)


def _short(override: str) -> str:
    return override.removeprefix("experiment=")


def distinct(texts: Sequence[str]) -> list[str]:
    """The same, with a number behind each that is there more than once."""
    taken, found = set(texts), []
    for text in texts:
        if texts.count(text) > 1:
            text = next(name for k in count(1) if (name := f"{text} ({k})") not in taken)
            taken.add(text)
        found.append(text)
    return found


def in_order(records: Mapping[Path, Mapping[str, Any]]) -> list[Path]:
    """Run directories of one folder, by their jobs' numbers in the sweep.

    By the names of their directories, which begin with a number, a time or overrides, where several
    sweeps have filled one named folder. ``records`` is run.json by directory, empty where it cannot
    be read.
    """
    begun = [record.get("job_number") for record in records.values() if "overrides" in record]
    numbers = {number for number in begun if isinstance(number, int)}
    if begun and len(numbers) == len(begun):
        # What cannot be read, or did not get so far, comes last.
        last = max(numbers) + 1
        return sorted(records, key=lambda path: (records[path].get("job_number", last), path.name))
    return sorted(records, key=lambda path: natural(path.name))


def natural(text: str) -> list[tuple[int, float, str]]:
    """A key that sorts ``lr=2e-4`` before ``lr=1e-3``, and ``x_9`` before ``x_10``."""
    parts = re.split(r"((?<![\d.])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)", text, flags=re.ASCII)
    return [(0, float(part), "") if k % 2 else (1, 0.0, part) for k, part in enumerate(parts)]

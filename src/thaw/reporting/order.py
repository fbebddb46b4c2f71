"""The order in which a folder's runs are shown: that of the sweep, whatever they are called."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Key = list[tuple[int, float, str]]


def in_order(records: Mapping[Path, Mapping[str, Any]]) -> list[Path]:
    """Run directories of one folder, by their jobs' numbers in the sweep.

    Where several sweeps have filled one named folder, by their overrides; other runs by the names
    of their directories, which begin with a number or a time. Numbers sort as numbers.

    Args:
        records: run.json by directory, without overrides where it cannot be read.
    """
    begun = [record.get("job_number") for record in records.values() if "overrides" in record]
    numbers = {number for number in begun if isinstance(number, int)}
    if begun and len(numbers) == len(begun):
        # What cannot be read, or did not get so far, comes last.
        last = max(numbers) + 1
        return sorted(records, key=lambda path: (records[path].get("job_number", last), path.name))
    if any(map(_is_of_named_sweep, records.values())):
        return sorted(records, key=lambda path: (_overrides(records[path]), natural(path.name)))
    return sorted(records, key=lambda path: natural(path.name))


def natural(text: str) -> Key:
    """A key that sorts ``lr=2e-4`` before ``lr=1e-3``, and ``x_9`` before ``x_10``."""
    parts = re.split(r"((?<![\d.])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)", text, flags=re.ASCII)
    return [
        (0, float(part), "") if number % 2 else (1, 0.0, part) for number, part in enumerate(parts)
    ]


def _overrides(record: Mapping[str, Any]) -> list[Key]:
    overrides = record.get("overrides")
    return [natural(str(each)) for each in sorted(map(str, overrides))] if overrides else []


def _is_of_named_sweep(record: Mapping[str, Any]) -> bool:
    config = record.get("config")
    sweep = config.get("sweep") if isinstance(config, dict) else None
    return isinstance(sweep, dict) and bool(sweep.get("name"))

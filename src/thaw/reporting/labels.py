"""What tells runs apart: short labels from their overrides, and groups that differ by seed only."""

from collections.abc import Sequence


def differing(overrides: Sequence[Sequence[str]]) -> list[list[str]]:
    """Of each run's overrides those that not every run has; all of them where it is alone."""
    if len(overrides) == 1:
        return [list(overrides[0])]
    shared = set.intersection(*map(set, overrides)) if overrides else set()
    return [[part for part in parts if part not in shared] for parts in overrides]


def without_seed(overrides: Sequence[str]) -> list[str]:
    """The overrides but for ``seed=...``: equal in runs that repeat one experiment."""
    return [part for part in overrides if not part.startswith("seed=")]


def labels(overrides: Sequence[Sequence[str]], names: Sequence[str | None]) -> list[str]:
    """A label a run: its name where it was given one, else what it overrides and others do not.

    Where that is ``experiment`` alone, the experiment's name. No two labels are the same.
    """
    distinct = differing(overrides)
    if {part.partition("=")[0] for parts in distinct for part in parts} == {"experiment"}:
        distinct = [[part.partition("=")[2] for part in parts] for parts in distinct]
    found = [
        name or " ".join(parts) or "default" for name, parts in zip(names, distinct, strict=True)
    ]
    return [
        f"{text} ({found[:k].count(text) + 1})" if found.count(text) > 1 else text
        for k, text in enumerate(found)
    ]

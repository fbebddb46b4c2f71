"""What tells runs apart: short labels from their overrides, and groups that differ by seed only."""

from collections.abc import Sequence
from itertools import count

# What does not change the model that is trained.
ASIDE = ("metrics", "callbacks", "logger", "sweep.", "data.root", "trainer.accelerator")


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

    How a run is scored and shown is left out where the rest tells the runs apart; an experiment
    goes by its name alone. No two labels are the same.
    """
    differences = differing([_last_of_each_key(parts) for parts in overrides])
    brief = [[part for part in parts if not part.startswith(ASIDE)] for parts in differences]
    if len(set(map(tuple, brief))) == len(set(map(tuple, differences))):
        differences = brief
    found = [
        name or " ".join(part.removeprefix("experiment=") for part in parts) or "default"
        for name, parts in zip(names, differences, strict=True)
    ]
    return distinct(found)


def distinct(texts: Sequence[str]) -> list[str]:
    """The same, with a number behind each that is there more than once."""
    taken, texts = set(texts), list(texts)
    return [text if texts.count(text) == 1 else _numbered(text, taken) for text in texts]


def _numbered(text: str, taken: set[str]) -> str:
    """``text (1)`` or the first number after it that is free; taken from now on."""
    free = next(name for k in count(1) if (name := f"{text} ({k})") not in taken)
    taken.add(free)
    return free


def _last_of_each_key(overrides: Sequence[str]) -> list[str]:
    return list({part.partition("=")[0]: part for part in overrides}.values())

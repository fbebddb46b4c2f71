"""What tells runs apart: short labels from their overrides."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count

# Beginnings of overrides that do not change the model that is trained.
ASIDE = ("metrics", "callbacks", "logger", "sweep.", "data.root", "trainer.accelerator")


def differing(overrides: Sequence[Sequence[str]]) -> list[list[str]]:
    """The overrides of each run that not every run has; all of them where it is alone."""
    if len(overrides) == 1:
        return [list(overrides[0])]
    shared = set.intersection(*map(set, overrides)) if overrides else set()
    return [[part for part in parts if part not in shared] for parts in overrides]


def without_seed(overrides: Sequence[str]) -> list[str]:
    """The overrides but for ``seed=...``: equal in runs that repeat one experiment."""
    return [part for part in overrides if not part.startswith("seed=")]


def labels(overrides: Sequence[Sequence[str]], names: Sequence[str | None]) -> list[str]:
    """A label for each run: its name where it has one, else the overrides that others lack.

    Overrides of how a run is scored and shown are left out where the rest tells the runs apart; an
    experiment is called by its name alone. No two labels are the same.
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


def fitted(titles: Sequence[str], length: int) -> list[str]:
    """Titles of about ``length`` characters at most, as different from each other as they were.

    A longer one first loses the parts that most of the others have too, ``…`` in their place; what
    is still too long is cut in the middle, and numbered where another is cut to the same.
    """
    shared = Counter(part for title in titles for part in set(title.split(" ")))
    found = [_without_common(title, shared, length) for title in titles]
    taken = set(found)
    return [text if found.count(text) == 1 else _numbered(text, taken) for text in found]


def _without_common(title: str, shared: Mapping[str, int], length: int) -> str:
    parts = title.split(" ")
    while len(" ".join(parts)) > length:
        common = max((part for part in parts if part != "…"), key=lambda part: shared[part])
        if shared[common] == 1:
            break
        parts = ["…" if part == common else part for part in parts]
        parts = [part for k, part in enumerate(parts) if part != "…" or parts[k - 1 : k] != ["…"]]
        if parts == ["…"]:
            parts = title.split(" ")
            break
    text = " ".join(parts)
    half = (length - 1) // 2
    return text if len(text) <= length else f"{text[:half]}…{text[-half:]}"


def _numbered(text: str, taken: set[str]) -> str:
    """``text (1)`` or the first number after it that is free; taken from now on."""
    free = next(name for k in count(1) if (name := f"{text} ({k})") not in taken)
    taken.add(free)
    return free


def _last_of_each_key(overrides: Sequence[str]) -> list[str]:
    return list({part.partition("=")[0]: part for part in overrides}.values())

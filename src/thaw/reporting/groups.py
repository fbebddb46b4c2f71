"""Groups of runs that repeat one experiment: they differ by seed alone and share their means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from thaw.reporting.finished import FinishedRun
from thaw.reporting.labels import distinct, labels, without_seed

NONE: Mapping[str, str] = MappingProxyType({})
MAX_NAMED = 6


@dataclass(frozen=True)
class Group:
    """Runs of one experiment that differ by seed alone.

    look: colour and dashes of its lines, the same in every figure.
    """

    title: str
    members: Sequence[FinishedRun]
    look: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def first(self) -> FinishedRun:
        """The run that stands for the group where one must."""
        return self.members[0]

    @property
    def title_of_first(self) -> str:
        """The title of what shows the first run alone."""
        if len(self.members) == 1:
            return self.title
        return f"{self.title} (seed {self.first.get('seed')})"


def group_by_seed(found: Sequence[FinishedRun], names: Mapping[str, str] = NONE) -> list[Group]:
    """The runs in groups, in their order, each with a title that tells it from the others.

    Completed runs belong together where they differ by seed alone and were trained and scored
    alike. Any other run, and the same seed once more, is a group of its own. ``names`` are for
    overrides, whole titles and run directories; one that is for none of these is a ``ValueError``.
    """
    groups: dict[object, list[FinishedRun]] = {}
    overrides = []
    for run in found:
        own, alike = _experiment(run)
        repeat = 0
        while run.get("seed") in [each.get("seed") for each in groups.get((alike, repeat), [])]:
            repeat += 1
        if (alike, repeat) not in groups:
            overrides.append(own)
        groups.setdefault((alike, repeat), []).append(run)
    own_names = [members[0].get("config", "name") for members in groups.values()]
    usual = labels(overrides, own_names)
    called = labels(overrides, own_names, names)
    titles = [
        next((names[run.directory.name] for run in members if run.directory.name in names), title)
        for members, title in zip(groups.values(), called, strict=True)
    ]
    known = {part for run in found for part in run.get("overrides") or []}
    known |= {*usual, *(run.directory.name for run in found)}
    known |= {part.removeprefix("experiment=") for part in known}
    for name in names:
        if name not in known:
            raise ValueError(f"labels: no run is {name}; they are {_shortened(usual)}")
    return list(map(Group, distinct(titles), groups.values()))


def _shortened(titles: Sequence[str]) -> str:
    """The first titles of many."""
    more = f" and {len(titles) - MAX_NAMED} more" if len(titles) > MAX_NAMED else ""
    return ", ".join(titles[:MAX_NAMED]) + more


def _experiment(run: FinishedRun) -> tuple[list[str], object]:
    """A run's own overrides, and what is equal in runs over which means mean something."""
    own = run.get("overrides")
    if own is None:
        return [str(run.directory)], run.directory
    if not run.is_done:
        return own, run.directory
    own = without_seed(own)
    sizes = (run.get("last_epoch", "val/n"), run.get("final_scores", "final/n"))
    return own, (frozenset(own), run.get("epochs"), run.get("encoder"), *sizes)

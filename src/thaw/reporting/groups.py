"""Groups of runs that repeat one experiment: they differ by seed alone and share their means."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from thaw.reporting.finished import FinishedRun
from thaw.reporting.labels import distinct, labels, without_seed


@dataclass(frozen=True)
class Group:
    """Runs of one experiment that differ by seed alone."""

    title: str
    members: Sequence[FinishedRun]

    @property
    def first(self) -> FinishedRun:
        """The run that stands for the group where one must: the first that was completed."""
        return next((run for run in self.members if run.is_done), self.members[0])

    @property
    def title_of_first(self) -> str:
        """The title of what shows the first run alone."""
        if len(self.members) == 1:
            return self.title
        return f"{self.title} (seed {self.first.get('seed')})"


def group_by_seed(found: Sequence[FinishedRun]) -> list[Group]:
    """The runs in groups, in their order, each with a title that tells it from the others.

    Completed runs belong together where they differ by seed alone and were trained and scored
    alike. Any other run, and the same seed once more, is a group of its own.
    """
    members: dict[frozenset[str], list[FinishedRun]] = {}
    first: list[Sequence[str]] = []
    for run in found:
        overrides = run.get("overrides")
        # Runs whose overrides are unknown are not known to repeat each other.
        own = [str(run.directory)]
        if isinstance(overrides, list):
            own = without_seed(list(map(str, overrides)))
        if frozenset(own) not in members:
            first.append(own)
        members.setdefault(frozenset(own), []).append(run)
    given = [group[0].config.get("name") for group in members.values()]
    titles = labels(first, [name if isinstance(name, str) else None for name in given])
    parts = [
        (f"{title} ({_apart(part)})" if number else title, part)
        for title, group in zip(titles, members.values(), strict=True)
        for number, part in enumerate(_comparable(group))
    ]
    return list(map(Group, distinct([title for title, _ in parts]), (part for _, part in parts)))


def _comparable(group: Sequence[FinishedRun]) -> list[list[FinishedRun]]:
    """A group's runs in parts over which means mean something, that of most runs first."""
    parts: dict[object, list[FinishedRun]] = defaultdict(list)
    times: Counter[str] = Counter()
    for number, run in enumerate(group):
        sizes = (run.get("last_epoch", "val/n"), run.get("final_scores", "final/n"))
        alike = repr((run.get("epochs"), run.get("encoder"), *sizes))
        repeat = f"{alike} {run.get('seed')}"
        parts[(alike, times[repeat]) if run.is_done else number].append(run)
        times[repeat] += run.is_done and "seed" in run.record
    return sorted(parts.values(), key=lambda part: (not part[0].is_done, -len(part)))


def _apart(part: Sequence[FinishedRun]) -> str:
    """What tells a part of a group from its first."""
    run = part[0]
    seeds = ", ".join(str(each.get("seed")) for each in part)
    state = f"{run.get('epochs')} epochs" if run.is_done else run.status
    return f"seed {seeds}, {state}"

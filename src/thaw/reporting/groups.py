"""Groups of runs that repeat one experiment: they differ by seed alone and share their means."""

from collections.abc import Sequence
from dataclasses import dataclass

from thaw.reporting.finished import FinishedRun
from thaw.reporting.labels import labels, without_seed


@dataclass(frozen=True)
class Group:
    """Runs of one experiment that differ by seed alone."""

    title: str
    members: Sequence[FinishedRun]

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


def group_by_seed(found: Sequence[FinishedRun]) -> list[Group]:
    """The runs in groups, in their order, each with a title that tells it from the others.

    Completed runs belong together where they differ by seed alone and were trained and scored
    alike. Any other run, and the same seed once more, is a group of its own.
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
    names = [members[0].get("config", "name") for members in groups.values()]
    return list(map(Group, labels(overrides, names), groups.values()))


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

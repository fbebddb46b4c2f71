"""A section of a report: its figures, its tables, and what it could not show and why."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from matplotlib.figure import Figure

from thaw.reporting.groups import Group
from thaw.reporting.tables import Table

T = TypeVar("T")


@dataclass
class Drawing:
    """A figure of the report.

    draw: gives it, for the screen or for paper.
    is_chart: whether it is lines on white, which a dark page may invert.
    source: the address of its image on the page, once it is written.
    """

    name: str
    caption: str
    draw: Callable[[], Figure]
    is_chart: bool = True
    source: str = ""


@dataclass
class Section:
    """Part of the page: what it shows, and what it could not show and why.

    prefix: folder of its figures, ending in a slash, or empty.
    words: sentences that come first.
    films: what can be played with, a run each, as plain data.
    """

    title: str
    prefix: str = ""
    drawings: list[Drawing] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    films: list[dict[str, Any]] = field(default_factory=list)
    folded: bool = False
    number: str = ""

    @property
    def anchor(self) -> str:
        """The name that links to it."""
        return f"{self.number}{slug(self.title)}".lower()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.drawings or self.tables or self.notes or self.words or self.films)

    def draw(
        self, name: str, caption: str, draw: Callable[[], Figure], is_chart: bool = True
    ) -> None:
        """Add a figure, which ``draw`` gives."""
        self.drawings.append(Drawing(f"{self.prefix}{name}", caption, draw, is_chart))

    def tabulate(self, *tables: Table) -> "Section":
        """Add those tables that have rows; returns this section."""
        self.tables += [each for each in tables if each.rows]
        return self

    def collect(
        self, groups: Sequence[Group], read: Callable[[Group], T], is_mean: bool = False
    ) -> dict[str, T]:
        """What ``read`` gives of each group, by title; its ``ValueError`` becomes a note.

        The title names the seed of the run that is read, unless ``is_mean`` says that all are.
        """
        found = {}
        for group in groups:
            try:
                found[group.title if is_mean else group.title_of_first] = read(group)
            except ValueError as error:
                self.notes.append(f"{group.title}: {error}")
        return found


def slug(text: str) -> str:
    """A name for files and links made of what every system and browser takes."""
    return re.sub(r"[^\w.=+-]+", "-", text, flags=re.ASCII).strip("-.")[:60] or "run"

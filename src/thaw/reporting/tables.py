"""Tables of measured values, written as CSV; latex.py sets them."""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from thaw.reporting.finished import FinishedRun
from thaw.reporting.groups import Group
from thaw.reporting.numbers import number, plus_minus

MISSING = "--"
# Rows above which a table is folded away.
LONG = 50


@dataclass(frozen=True)
class Number:
    """A measured value: mean over ``count`` seeds, their standard deviation, and its format."""

    mean: float
    std: float | None = None
    count: int = 1
    places: str = ".3g"

    @property
    def exact(self) -> float | int:
        """The mean in full; of what is counted a whole number, where it is one."""
        is_count = self.places.endswith(".0f") and float(self.mean).is_integer()
        return int(self.mean) if is_count else self.mean

    def __str__(self) -> str:
        if self.std is None:
            return number(self.mean, self.places)
        return plus_minus(self.mean, self.std, self.places)


Cell = str | Number


Caption = str | Callable[[Sequence[str]], str]


@dataclass(frozen=True)
class Table:
    """Titled columns and rows of cells; the first column says what a row is.

    num_last: how many of the last rows stay below whatever the others are sorted by.
    """

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    folded: bool = False
    num_last: int = 0

    @classmethod
    def of(
        cls,
        name: str,
        caption: Caption,
        rows: Sequence[Mapping[str, Cell]],
        longest: float = LONG,
        num_last: int = 0,
    ) -> "Table":
        """A table of rows by column, without the columns that are missing in every row.

        ``caption`` may be a function of the columns that are there. With more than ``longest`` rows
        the table is folded away on the page.
        """
        columns = dict.fromkeys(column for row in rows for column in row)
        kept = [column for column in columns
                if any(row.get(column, MISSING) != MISSING for row in rows)]  # fmt: skip
        cells = [[row.get(column, MISSING) for column in kept] for row in rows]
        words = caption if isinstance(caption, str) else caption(kept)
        return cls(name, words, kept, cells, len(rows) > longest, num_last)

    def write_csv(self, path: Path) -> None:
        """Numbers in full, ``±`` in columns of their own."""
        path.parent.mkdir(parents=True, exist_ok=True)
        # As objects, for whole numbers would become fractions beside an empty cell.
        pd.DataFrame(list(self._full_rows()), dtype=object).to_csv(path, index=False)

    def is_number(self, column: int) -> bool:
        """Whether a column holds numbers (and is set flush right)."""
        return column > 0 and any(isinstance(row[column], Number) for row in self.rows)

    def _full_rows(self) -> Iterator[dict[str, str | float | int]]:
        for row in self.rows:
            full: dict[str, str | float | int] = {}
            for column, cell in zip(self.columns, row, strict=True):
                if isinstance(cell, Number):
                    full[column] = cell.exact
                    if cell.std is not None:
                        full |= {f"{column} std": cell.std, f"{column} seeds": cell.count}
                else:
                    full[column] = "" if cell == MISSING else cell
            yield full


def over_seeds(
    group: Group, value: Callable[[FinishedRun], Any], places: str = ".3g", scale: float = 1
) -> Cell:
    """The mean of a value over a group's runs that have it, with its standard deviation (n - 1)."""
    found = [value(run) for run in group.members]
    numbers = [
        scale * entry for entry in found if isinstance(entry, int | float) and math.isfinite(entry)
    ]
    if not numbers:
        return MISSING
    std = statistics.stdev(numbers) if len(set(numbers)) > 1 else None
    return Number(statistics.fmean(numbers), std, len(numbers), places)

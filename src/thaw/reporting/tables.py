"""Tables of measured values, written as CSV and LaTeX."""

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
LATEX_HEAD = r"% needs \usepackage{booktabs} and \usepackage[T1]{fontenc}"


@dataclass(frozen=True)
class Number:
    """A measured value: mean over ``count`` seeds, their standard deviation, and its format."""

    mean: float
    std: float | None = None
    count: int = 1
    places: str = ".3g"

    def __str__(self) -> str:
        if self.std is None:
            return number(self.mean, self.places)
        return plus_minus(self.mean, self.std, self.places)


Cell = str | Number


@dataclass(frozen=True)
class Table:
    """Titled columns and rows of cells; the first column says what a row is."""

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    folded: bool = False

    @classmethod
    def of(
        cls, name: str, caption: str, rows: Sequence[Mapping[str, Cell]], longest: float = LONG
    ) -> "Table":
        """A table of rows by column, without the columns that are missing in every row.

        With more than ``longest`` rows it is folded away on the page.
        """
        columns = dict.fromkeys(column for row in rows for column in row)
        kept = [column for column in columns
                if any(row.get(column, MISSING) != MISSING for row in rows)]  # fmt: skip
        cells = [[row.get(column, MISSING) for column in kept] for row in rows]
        return cls(name, caption, kept, cells, folded=len(rows) > longest)

    def write(self, folder: Path) -> None:
        """``name.csv`` (numbers in full, ``±`` in columns of their own) and ``name.tex``."""
        folder.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(self._full_rows()).to_csv(folder / f"{self.name}.csv", index=False)
        shown = pd.DataFrame([list(map(str, row)) for row in self.rows], columns=[*self.columns])
        alignment = "".join("r" if self.is_number(k) else "l" for k in range(len(self.columns)))
        text = shown.to_latex(index=False, escape=True, caption=_latex(self.caption),
                              label=f"tab:{self.name}", column_format=alignment)  # fmt: skip
        text = text.replace("±", r"$\pm$")
        (folder / f"{self.name}.tex").write_text(f"{LATEX_HEAD}\n{text}", encoding="utf-8")

    def is_number(self, column: int) -> bool:
        """Whether a column holds numbers (and is set flush right)."""
        return column > 0 and any(isinstance(row[column], Number) for row in self.rows)

    def _full_rows(self) -> Iterator[dict[str, str | float | int]]:
        for row in self.rows:
            full: dict[str, str | float | int] = {}
            for column, cell in zip(self.columns, row, strict=True):
                if isinstance(cell, Number):
                    full[column] = cell.mean
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


def _latex(text: str) -> str:
    """A caption's special characters, as pandas escapes those of cells only."""
    for character in "&%$#_{}":
        text = text.replace(character, f"\\{character}")
    return text

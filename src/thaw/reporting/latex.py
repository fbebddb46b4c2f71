"""Tables and figures in LaTeX, as wide as a column of a paper, or else as its page."""

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from thaw.reporting.tables import MISSING, Table

HEAD = "% needs \\usepackage{array, booktabs}\n"
# Points of a column and of a page of two columns (3.25 and 6.75 inches), of a character of 8
# points, about, and between two columns of a table.
COLUMN, PAGE, CHARACTER, GAP = 234.0, 487.0, 4.3, 7.0
# Text is broken into lines of at least so many characters.
NARROWEST = 20
# Rows of a table on one page.
MAX_ROWS = 48
# What a figure may take of a page's height, its caption aside.
HEIGHT = r"0.85\textheight"
SPECIAL = {character: f"\\{character}" for character in "&%#_{}"} | {
    "$": r"{\char36}",  # \$ is of another font, which may be there as a bitmap alone
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "…": r"\dots{}", "·": r"$\cdot$", "\u2212": "$-$",
    "\u00d7": r"$\times$",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"{\ttfamily\char34}",
    "\n": " ", "\r": " ",
}  # fmt: skip
LETTERS = "ÆæØøŒœßŁłıÅå"
ACCENTS = tuple("\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030b\u030c\u0327")
BREAKS = {character: f"{character}\\allowbreak{{}}" for character in "=./:+,;@"}
BREAKS |= {"_": r"\_\allowbreak{}"}


def escaped(text: str, is_broken: bool = False) -> str:
    """Text as LaTeX shows it; ``is_broken`` lets it end a line after ``=``, ``_`` and such.

    A character that pdflatex's fonts lack, not of Latin script, becomes its number: ``U+4E2D``.
    """
    known = SPECIAL | BREAKS if is_broken else SPECIAL
    return "".join(known.get(character) or _latin(character) for character in text)


def _latin(character: str) -> str:
    """A Latin letter as it is where every font of LaTeX has it, accents apart."""
    parts = unicodedata.normalize("NFD", character)
    is_accented = parts[1:] in ACCENTS and ord(character) < 0x180
    is_there = " " <= parts[0] <= "~" and (parts == character or is_accented)
    return character if is_there or character in LETTERS else f"U+{ord(character):04X}"


def figure(name: str, path: str, caption: str, is_wide: bool) -> str:
    """The figure of a PDF, ``path`` from the paper, with its caption."""
    width = r"\textwidth" if is_wide else r"\columnwidth"
    size = f"width={width},height={HEIGHT},keepaspectratio"
    body = f"\\includegraphics[{size}]{{{path}}}\n"
    return _float("figure", body, caption, f"fig:{name}", is_wide)


def table(shown: Table) -> str:
    """A table, one of fewer columns after the other where it is too wide for a page.

    A column that is the same in all rows is said in the caption.
    """
    caption, rows = shown.caption, [list(map(str, row)) for row in shown.rows]
    kept, same = _constant(shown, rows)
    if same:
        caption += f" In all rows: {', '.join(same)}."
    titles = [shown.columns[k] for k in kept]
    cells = pd.DataFrame([[row[k] for k in kept] for row in rows], columns=pd.Index(titles))
    is_number = [shown.is_number(k) for k in kept]
    cells.columns = pd.Index([_heading(cells.iloc[:, k], is_number[k]) for k in range(len(kept))])
    widths = [CHARACTER * max(map(len, [*title.split("\n"), *cells.iloc[:, k]])) + GAP
              for k, title in enumerate(cells.columns)]  # fmt: skip
    available = COLUMN if _least(widths, is_number) <= COLUMN else PAGE
    found = []
    for start in range(0, len(rows), MAX_ROWS):
        part = cells.iloc[start : start + MAX_ROWS]
        ends = len(rows) - shown.num_last - start
        text = "\\par\\medskip\n".join(
            _tabular(
                part.iloc[:, chosen],
                [is_number[k] for k in chosen],
                _fitted([widths[k] for k in chosen], [is_number[k] for k in chosen], available),
                ends if shown.num_last else 0,
            )
            for chosen in _parts(widths, is_number, available)
        )
        words = caption if not start else f"{shown.caption.partition('.')[0]} (continued)."
        label = f"tab:{shown.name}" + (f"-{start}" if start else "")
        found.append(_float("table", text, words, label, available == PAGE))
    return HEAD + "\n".join(found)


def _heading(cells: "pd.Series[str]", is_number: bool) -> str:
    """The title of a column, above numbers in lines not much longer than these."""
    title = str(cells.name)
    longest = max([6, *map(len, cells)])
    return "\n".join(textwrap.wrap(title, longest, break_long_words=False)) if is_number else title


def _constant(shown: Table, rows: Sequence[Sequence[str]]) -> tuple[list[int], list[str]]:
    """The columns to show, and in words those that are the same in all of several rows."""
    main = rows[: len(rows) - shown.num_last]
    kept, same = [0], []
    for k, title in enumerate(shown.columns):
        values = {row[k] for row in main}
        last = {row[k] for row in rows[len(main) :]} - values - {MISSING}
        if k and len(main) > 1 and len(values) == 1 and not last:
            same.append(f"{title} {next(iter(values))}")
        elif k:
            kept.append(k)
    return kept, same


def _least(widths: Sequence[float], is_number: Sequence[bool]) -> float:
    """The least width of a table: numbers are not broken."""
    return sum(w if number else min(w, CHARACTER * NARROWEST + GAP)
               for w, number in zip(widths, is_number, strict=True))  # fmt: skip


def _parts(
    widths: Sequence[float], is_number: Sequence[bool], available: float
) -> Iterator[list[int]]:
    """Columns of each part of a table, the first, which says what a row is, in every one."""
    part = [0]
    for k in range(1, len(widths)):
        wider = [*part, k]
        if len(part) > 1 and available < _least(
            [widths[j] for j in wider], [is_number[j] for j in wider]
        ):
            yield part
            wider = [0, k]
        part = wider
    yield part


def _fitted(
    widths: Sequence[float], is_number: Sequence[bool], available: float
) -> list[float | None]:
    """The width to which each column is set, None for its own: text shares what numbers leave."""
    texts = [k for k, number in enumerate(is_number) if not number]
    left = available - sum(w for w, number in zip(widths, is_number, strict=True) if number)
    chosen: list[float | None] = [None] * len(widths)
    if sum(widths[k] for k in texts) <= left:
        return chosen
    for k in sorted(texts, key=lambda k: widths[k]):  # what is short leaves the others more
        share = left / len(texts)
        if widths[k] > share:
            chosen[k] = share - GAP
        left -= min(widths[k], share)
        texts.remove(k)
    return chosen


def _tabular(
    cells: pd.DataFrame, is_number: Sequence[bool], widths: Sequence[float | None], ends: int
) -> str:
    """Columns of a table; ``ends`` is the number of rows before a rule, 0 for none."""
    alignment = "".join(
        "r"
        if number
        else "l"
        if width is None
        else rf">{{\raggedright\arraybackslash}}p{{{width:.0f}pt}}"
        for number, width in zip(is_number, widths, strict=True)
    )
    shown = pd.DataFrame(
        {k: [escaped(text, widths[k] is not None) for text in cells.iloc[:, k]]
         for k in range(cells.shape[1])}
    )  # fmt: skip
    shown.columns = pd.Index(
        [_stacked(title) if "\n" in title else escaped(title, widths[k] is not None)
         for k, title in enumerate(cells.columns)]
    )  # fmt: skip
    text: str = shown.to_latex(index=False, escape=False, column_format=f"@{{}}{alignment}@{{}}")
    lines = text.splitlines()
    first = lines.index(r"\midrule") + 1
    if 0 < ends < len(cells):
        lines.insert(first + ends, r"\midrule")
    return "\n".join(lines) + "\n"


def _stacked(title: str) -> str:
    """A title of several lines, one above the other."""
    lines = r" \\ ".join(map(escaped, title.split("\n")))
    return rf"\shortstack[r]{{{lines}}}"


def _float(kind: str, body: str, caption: str, label: str, is_wide: bool) -> str:
    star = "*" if is_wide else ""
    above = f"\\caption{{{escaped(caption)}}}\n\\label{{{label}}}\n"
    small = "\\footnotesize\\setlength{\\tabcolsep}{3pt}\n" if kind == "table" else ""
    content = above + small + body if kind == "table" else body + above
    return f"\\begin{{{kind}{star}}}[tbp]\n\\centering\n{content}\\end{{{kind}{star}}}\n"


def write(shown: Table, path: Path) -> None:
    """Write a table, making the folder where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(table(shown), encoding="utf-8")

"""Tables in LaTeX: all that a table has, escaped, in parts no wider than a page of a paper."""

import re
from pathlib import Path

import pytest
from reporting_support import HOSTILE

from thaw.reporting.latex import COLUMN, GAP, PAGE, escaped, table
from thaw.reporting.tables import Number, Table

POINTS = re.compile(r"p\{(\d+)pt\}")


def tabulars(text: str) -> list[tuple[str, list[list[str]]]]:
    """The alignment and the cells of each part of a table, heads included."""
    found = []
    for alignment, body in re.findall(
        r"\\begin\{tabular\}\{@\{\}(.*?)@\{\}\}\n(.*?)\\end\{tabular\}", text, re.DOTALL
    ):
        lines = [line for line in body.splitlines() if line.endswith(r"\\")]
        cells = [[cell.strip() for cell in re.split(r"(?<!\\)&", line[:-2])] for line in lines]
        found.append((alignment, cells))
    return found


def test_what_users_wrote_is_escaped_and_what_no_font_has_is_its_number(tmp_path: Path) -> None:
    rows = [["a & b_c", Number(1.0, 0.5)], ["50 % {x} #2 $y$ ~ ^2 \\alpha", "--"]]
    text = table(Table("t", "50 % of R&D_1", ["run", "FID"], rows))
    assert r"\caption{50 \% of R\&D\_1}" in text
    assert r"a \& b\_c & 1.00 $\pm$ 0.50 \\" in text
    users = r"50 \% \{x\} \#2 {\char36}y{\char36} \textasciitilde{} \textasciicircum{}2"
    assert rf"{users} \textbackslash{{}}alpha" in text
    assert escaped("größe, Ł, é: 中 д\n") == "größe, Ł, é: U+4E2D U+0434 "
    assert escaped("a_b=c", is_broken=True) == r"a\_\allowbreak{}b=\allowbreak{}c"


def numbers(count: int, num_rows: int = 3) -> list[list[str | Number]]:
    return [[f"run {k}", *(Number(k + j / 10) for j in range(count))] for k in range(num_rows)]


@pytest.mark.parametrize(("count", "star", "parts"), [(2, "", 1), (12, "*", 1), (40, "*", 2)])
def test_a_table_is_as_wide_as_a_column_or_a_page_or_has_parts(
    count: int, star: str, parts: int
) -> None:
    columns = ["run", *(f"x{j}" for j in range(count))]
    text = table(Table("t", "A caption.", columns, numbers(count)))
    assert f"\\begin{{table{star}}}" in text
    found = tabulars(text)
    assert len(found) == parts
    heads = [cells[0] for _, cells in found]
    assert [head[0] for head in heads] == ["run"] * parts
    assert [title for head in heads for title in head[1:]] == columns[1:]
    for k in range(3):
        shown = [cell for _, cells in found for cell in cells[k + 1][1:]]
        assert shown == [str(cell) for cell in numbers(count)[k][1:]]


def test_a_column_that_is_the_same_everywhere_is_said_in_the_caption() -> None:
    rows = [["a", "10", "x", "1"], ["b", "10", "y", "1"], ["floor", "--", "--", "2"]]
    text = table(Table("t", "A caption.", ["run", "epochs", "z", "N"], rows, num_last=1))
    ((_, cells),) = tabulars(text)
    assert cells[0] == ["run", "z", "N"]  # the floor has another N
    assert "In all rows: epochs 10." in text
    assert text.count(r"\midrule") == 2  # above the floor too
    (alone,) = tabulars(table(Table("t", "x", ["run", "epochs"], [["a", "10"]])))
    assert alone[1][0] == ["run", "epochs"]


def test_long_text_is_broken_into_what_numbers_leave() -> None:
    long = "degradation=column_random trainer.max_epochs=20 " * 3
    rows: list[list[str | Number]] = [[long, Number(1.0), "x" * 60], [HOSTILE, Number(2.0), "y"]]
    text = table(Table("t", "x", ["run", "FID", "sampler"], rows))
    ((alignment, _),) = tabulars(text)
    widths = [int(points) + GAP for points in POINTS.findall(alignment)]
    assert len(widths) == 2
    assert sum(widths) < (PAGE if "table*" in text else COLUMN)
    assert r"\_\allowbreak{}" in text


def test_many_rows_are_several_tables_each_row_once() -> None:
    text = table(Table("t", "First. More.", ["run", "x"], numbers(1, 120)))
    found = tabulars(text)
    assert len(found) == 3
    assert [cell[0] for _, cells in found for cell in cells[1:]] == [f"run {k}" for k in range(120)]
    assert len(set(re.findall(r"\\label\{(.*?)\}", text))) == 3
    assert text.count("First (continued).") == 2

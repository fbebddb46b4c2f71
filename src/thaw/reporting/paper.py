"""The bundle for a paper: figures as PDF, tables and captions in LaTeX, the runs' commands."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import jinja2

from thaw.reporting import latex, reproduce
from thaw.reporting.groups import Group
from thaw.reporting.section import Drawing, Section
from thaw.reporting.sections import Options
from thaw.reporting.style import PAPER, on_paper, save_figure

FOLDER = "paper"


def write(
    sections: Sequence[Section], groups: Sequence[Group], out: Path, options: Options
) -> None:
    """Write figures/, tables/, paper.tex, which has them all, and reproduce.sh.

    Figures of single runs are left out; an earlier bundle is overwritten.
    """
    for folder in ("figures", "tables"):
        if (out / folder).is_dir():
            shutil.rmtree(out / folder)
    shown = []
    for section in sections:
        if section.folded:
            continue
        files = [_write_figure(drawing, out) for drawing in section.drawings]
        labels = [f"Figure~\\ref{{fig:{drawing.name}}}" for drawing in section.drawings]
        for each in section.tables:
            latex.write(each, out / "tables" / f"{each.name}.tex")
            files.append(f"tables/{each.name}")
            labels.append(f"Table~\\ref{{tab:{each.name}}}")
        if files:
            shown.append({"title": latex.escaped(section.title), "files": files, "labels": labels})
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("thaw.reporting", "."),
        autoescape=False,  # escaped for LaTeX
        block_start_string="<%",
        block_end_string="%>",
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("paper.tex").render(
        title=latex.escaped(options.title), sections=shown
    )
    (out / "paper.tex").write_text(text + "\n", encoding="utf-8")
    reproduce.write(groups, options.overrides, out / "reproduce.sh")


def _write_figure(drawing: Drawing, out: Path) -> str:
    """Write a figure and the float that has it; returns the float's file without its suffix."""
    name = f"figures/{drawing.name}"
    with on_paper():
        figure = drawing.draw()
        save_figure(figure, out / f"{name}.pdf")
    is_wide = figure.get_figwidth() > PAPER.widths[0]
    text = latex.figure(drawing.name, f"{name}.pdf", drawing.caption, is_wide)
    (out / f"{name}.tex").write_text(text, encoding="utf-8")
    return name

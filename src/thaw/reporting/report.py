"""The report: a self-contained page, every figure as PNG and SVG, every table as CSV and LaTeX."""

import base64
import math
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import jinja2

from thaw import __version__
from thaw.metrics import table
from thaw.progress import progress
from thaw.reporting.finished import FinishedRun, read_run
from thaw.reporting.groups import group_by_seed
from thaw.reporting.results import badness, best
from thaw.reporting.sections import Section, sections
from thaw.reporting.style import save_figure

PAGE = "index.html"
# More would make figures longer than any screen.
NUM_SHOWN = 24
# Sections beside one for each run that has figures.
NUM_SECTIONS = 10
MARK = '<meta name="generator" content="thaw'


def write_report(
    run_dirs: Sequence[Path], out: Path, title: str, num_shown: int = NUM_SHOWN
) -> Path:
    """Write the report of these run directories into the folder ``out``; returns the page.

    Args:
        run_dirs: run directories; the page names what is missing or damaged in one.
        out: a folder that is new, empty, or an earlier report, which is overwritten; anything else
            is a ``ValueError``.
        title: title of the page.
        num_shown: largest number of experiments that have figures, those of the best FID; tables
            have all.
    """
    _check_out(out)
    for folder in ("figures", "tables"):  # an earlier report's, maybe of other runs
        if (out / folder).is_dir():
            shutil.rmtree(out / folder)
    read: list[FinishedRun] = []
    with progress(f"reading {len(run_dirs)} runs", len(run_dirs), lambda: len(read)):
        read.extend(map(read_run, run_dirs))
    groups = group_by_seed(read)
    drawn = best(groups, num_shown)
    written: list[Section] = []
    with progress("drawing the figures", NUM_SECTIONS + len(drawn), lambda: len(written)):
        for section in sections(groups, drawn):
            _write(section, out)
            written.append(section)
    score = table.GENERATED[0]
    ranked_by = f"{'lowest' if score.lower_is_better else 'highest'} {score.label}"
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("thaw.reporting", "."), autoescape=True
    )
    environment.trim_blocks = environment.lstrip_blocks = True
    page = environment.get_template("report.html").render(
        title=title,
        sections=[section for section in written if not section.is_empty],
        num_runs=len(run_dirs),
        num_groups=len(groups),
        num_drawn=len(drawn),
        ranked_by=ranked_by if any(math.isfinite(badness(group)) for group in drawn) else "",
        version=__version__,
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    (out / PAGE).write_text(page, encoding="utf-8")
    return out / PAGE


def _check_out(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()):
        page = out / PAGE
        if not page.is_file() or MARK not in page.read_text(encoding="utf-8", errors="replace"):
            raise ValueError(f"out={out}: the folder holds something that is not a report")
    elif out.exists() and not out.is_dir():
        raise ValueError(f"out={out}: not a folder")


def _write(section: Section, out: Path) -> None:
    """Write a section's figures and tables; its drawings get the ``source`` of their images."""
    for drawing in section.drawings:
        path = out / "figures" / drawing.name
        files = [path.with_name(f"{path.name}.{kind}") for kind in ("png", "svg")]
        save_figure(drawing.figure, *files)
        # Lines stay sharp as SVG; images would only grow.
        kind, file = ("svg+xml", files[1]) if drawing.is_chart else ("png", files[0])
        data = base64.b64encode(file.read_bytes()).decode()
        drawing.source = f"data:image/{kind};base64,{data}"
    for each in section.tables:
        each.write(out / "tables")

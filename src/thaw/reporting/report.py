"""The report: a self-contained page, every figure as PNG and SVG, every table as CSV and LaTeX."""

import base64
import io
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import jinja2
from PIL import Image

from thaw import __version__
from thaw.metrics import table
from thaw.progress import progress
from thaw.reporting import latex, paper
from thaw.reporting.comparisons import compared
from thaw.reporting.finished import FinishedRun, read_run
from thaw.reporting.groups import Group, group_by_seed
from thaw.reporting.results import badness, best
from thaw.reporting.section import Section
from thaw.reporting.sections import Options, sections
from thaw.reporting.style import line_styles, save_figure

PAGE = "index.html"
# Sections beside one for each run that has figures.
NUM_SECTIONS = 12
# How well WebP keeps the pictures on the page, 0 to 100; the files beside it have lost nothing.
QUALITY = 85
MARK = '<meta name="generator" content="thaw'


def write_report(run_dirs: Sequence[Path], out: Path, options: Options) -> Path:
    """Write the report of these run directories into the folder ``out``; returns the page.

    What is missing or damaged in one is named on the page. ``out`` is new, empty, or an earlier
    report, which is overwritten; anything else is a ``ValueError``, and so is a key to compare by
    in which no runs differ.
    """
    _check_out(out)
    read: list[FinishedRun] = []
    with progress(f"reading {len(run_dirs)} runs", len(run_dirs), lambda: len(read)):
        read.extend(map(read_run, run_dirs))
    groups = group_by_seed(read, options.labels)
    comparisons = compared(groups, options.compare) if options.compare else []
    for folder in ("figures", "tables"):  # an earlier report's, maybe of other runs
        if (out / folder).is_dir():
            shutil.rmtree(out / folder)
    chosen = best(groups, options.num_shown)
    looks = line_styles(len(chosen))
    drawn = [replace(group, look=look) for group, look in zip(chosen, looks, strict=True)]
    written: list[Section] = []
    with progress("drawing the figures", NUM_SECTIONS + len(drawn), lambda: len(written)):
        for section in sections(groups, drawn, options, comparisons):
            _write(section, out)
            written.append(section)
    (out / PAGE).write_text(_page(written, groups, drawn, options), encoding="utf-8")
    if options.paper:
        paper.write(written, groups, out / paper.FOLDER, options)
    return out / PAGE


def _page(
    written: Sequence[Section], groups: Sequence[Group], drawn: Sequence[Group], options: Options
) -> str:
    score = table.GENERATED[0]
    ranked_by = f"{'lowest' if score.lower_is_better else 'highest'} {score.label}"
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("thaw.reporting", "."), autoescape=True
    )
    environment.trim_blocks = environment.lstrip_blocks = True
    return environment.get_template("report.html").render(
        title=options.title,
        sections=[section for section in written if not section.is_empty],
        num_runs=sum(len(group.members) for group in groups),
        num_groups=len(groups),
        num_drawn=len(drawn),
        ranked_by=ranked_by if any(math.isfinite(badness(group)) for group in drawn) else "",
        version=__version__,
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


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
        save_figure(drawing.draw(), *files)
        drawing.source = _uri(files[0], files[1], drawing.is_chart)
    for each in section.tables:
        each.write_csv(out / "tables" / f"{each.name}.csv")
        latex.write(each, out / "tables" / f"{each.name}.tex")


def _uri(png: Path, svg: Path, is_chart: bool) -> str:
    """The image that the page holds: lines stay sharp as SVG, pictures are smallest as WebP."""
    kind, data = "svg+xml", svg.read_bytes()
    if not is_chart:
        file = io.BytesIO()
        with Image.open(png) as image:
            image.convert("RGB").save(file, "WEBP", quality=QUALITY)
        kind, data = "webp", file.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"

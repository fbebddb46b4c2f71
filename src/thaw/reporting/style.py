"""How every figure looks: palette, axes, and saving without a display."""

import logging
import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib import rc_context, rcdefaults, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from matplotlib.transforms import Bbox

from thaw import storage
from thaw.reporting.labels import distinct

log = logging.getLogger(__name__)
# Okabe and Ito's palette, told apart by the colour-blind; its yellow is too pale for lines.
BLUE, ORANGE = "#0072B2", "#D55E00"
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", ":", "-.")
GREY = "#767676"
Look = Mapping[str, Any]
"""Colour and dashes of a run's lines."""
# Characters of a point in an inch, about.
DENSITY = 100


@dataclass(frozen=True)
class Medium:
    """Where figures are shown.

    settings: matplotlib's settings for them.
    widths: widths in inches that a figure may have, from the smallest; empty for any.
    legend_rows: rows of a legend that a figure has room for as it is.
    """

    settings: Mapping[Any, Any]
    widths: Sequence[float] = ()
    legend_rows: int = 4


SIZES = ("axes.titlesize", "axes.labelsize", "legend.fontsize", "xtick.labelsize",
         "ytick.labelsize")  # fmt: skip
# A fixed salt and no date: the same runs give the same SVG, byte for byte.
SCREEN = Medium(
    dict(zip(SIZES, (9, 10, 8, 9, 9), strict=True))
    | {"svg.hashsalt": "thaw", "svg.fonttype": "path", "savefig.dpi": 150}
)
# A column and the whole width of a page of two columns. Type 42 are whole fonts, which every
# publisher takes; Type 3, matplotlib's usual, many refuse.
PAPER = Medium(
    dict(zip(SIZES, (8, 8, 7, 7, 7), strict=True))
    | {"font.size": 8, "font.family": ["STIXGeneral", "DejaVu Sans"], "mathtext.fontset": "stix",
       "lines.linewidth": 1.1, "lines.markersize": 3, "axes.linewidth": 0.6,
       "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.major.size": 2.5,
       "ytick.major.size": 2.5, "pdf.fonttype": 42, "savefig.dpi": 300},
    (3.25, 6.75),
    0,
)  # fmt: skip
# A figure for the screen that is wider, in inches, takes the whole width of a page.
FITS_COLUMN = 7.0
logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells of every glyph
_medium = ContextVar("medium", default=SCREEN)


@contextmanager
def on_paper() -> Iterator[None]:
    """Draw and save figures as a paper wants them."""
    before = _medium.set(PAPER)
    try:
        yield
    finally:
        _medium.reset(before)


@contextmanager
def own_style() -> Iterator[None]:
    """Draw in thaw's own style, whatever is configured; also a decorator.

    matplotlib reads its settings when a text is created as well as when it is drawn.
    """
    with rc_context():
        rcdefaults()
        rcParams.update(_medium.get().settings)
        yield


@contextmanager
def harmless(name: str) -> Iterator[None]:
    """Turn the error of a figure into a warning, and go on, unless the disk is full."""
    try:
        yield
    except Exception as error:
        if isinstance(error, storage.WriteError):
            raise
        log.warning("%s could not be drawn, going on without it: %s", name, error)


def line_styles(count: int) -> list[Look]:
    """Colour and dashes for each of ``count`` lines; colours repeat with other dashes."""
    pairs = [{"color": c, "linestyle": d} for d in DASHES for c in COLOURS]
    return [pairs[k % len(pairs)] for k in range(count)]


def canvas(
    width: float, height: float, layout: Literal["constrained", "compressed"] = "constrained"
) -> Figure:
    """A figure of so many inches on the screen; on paper it is as wide as a column or a page."""
    widths = _medium.get().widths
    if widths:
        fitting = widths[0] if width <= FITS_COLUMN else widths[-1]
        width, height = fitting, height * fitting / width
    return Figure(figsize=(width, height), layout=layout)


def panels(count: int, columns: int, width: float, height: float) -> tuple[Figure, Sequence[Axes]]:
    """A figure of ``count`` axes, ``columns`` a row, each ``width`` x ``height`` inches."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = canvas(width * columns, height * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[count:]:
        axes.set_axis_off()
    for axes in grid[:count]:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, list(grid[:count])


def log_scale(axes: Axes, values: Iterable[float]) -> None:
    """A logarithmic y axis with plain numbers, where the values span a factor of three or more."""
    positive = [value for value in values if value > 0]
    if not positive or max(positive) < 3 * min(positive):
        return
    wide = max(positive) > 300 * min(positive)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def legend_below(figure: Figure, axes: Axes) -> None:
    """The legend of ``axes`` under the figure, where it hides no line; none without labels."""
    handles, labels = axes.get_legend_handles_labels()
    if not any(labels):
        return
    longest = max(len(line) for label in labels for line in label.split("\n")) + 8
    fitting = max(1, int(1.2 * DENSITY / _size("legend") * figure.get_figwidth() / longest))
    columns = min(fitting, len(labels))
    # The figure grows with the legend, which would leave the lines no room.
    height = max(label.count("\n") + 1 for label in labels)
    rows = height * math.ceil(len(labels) / columns) - _medium.get().legend_rows
    figure.set_figheight(figure.get_figheight() + _row("legend") * max(0, rows))
    place: dict[str, Any] = {"loc": "outside lower center", "ncols": columns}
    figure.legend(handles, labels, frameon=False, **place)


def titled(titles: Iterable[str], inches: float, lines: int, of: str = "title") -> list[str]:
    """Titles in about so many lines of a width in inches, no two the same.

    ``of`` is where they stand: ``title``, ``label`` (of axes) or ``legend``.
    """
    width = max(8, int(DENSITY / _size(of) * inches))
    half = width * lines // 2
    short = [t if len(t) <= 2 * half else f"{t[:half]}…{t[-half:]}" for t in titles]
    # A dollar sign would begin a formula.
    return ["\n".join(textwrap.wrap(t, width)).replace("$", r"\$") for t in distinct(short)]


def make_room(figure: Figure, titles: Sequence[str], columns: int) -> None:
    """Make a figure higher, so that the titles of its axes may have several lines."""
    lines = [title.count("\n") for title in titles]
    rows = [max(lines[k : k + columns]) for k in range(0, len(lines), columns)]
    figure.set_figheight(figure.get_figheight() + _row("title") * sum(rows))


def _size(of: str) -> float:
    """The size of a text in points."""
    name: Any = "legend.fontsize" if of == "legend" else f"axes.{of}size"
    return float(rcParams[name])


def _row(of: str) -> float:
    """The height of a line of text in inches."""
    return 1.5 * _size(of) / 72


def show_image(axes: Axes, image: np.ndarray[Any, Any]) -> None:
    """Draw uint8 ``[H, W]`` or ``[H, W, 3]`` without ticks or frame."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255)
    axes.spines[:].set_visible(False)
    # Hidden, an axis need not be laid out either.
    axes.xaxis.set_visible(False)
    axes.yaxis.set_visible(False)


@own_style()
def save_figure(figure: Figure, *paths: Path) -> None:
    """Write a figure, each format by suffix, making the folder where it is missing."""
    # The layout takes as long as drawing, and is the same for every format.
    layout = figure.get_layout_engine()
    if layout is not None:
        layout.execute(figure)
        figure.set_layout_engine(None)
    size = figure.get_tightbbox().padded(0.05)
    if _medium.get().widths:  # as wide as it is to be
        size = Bbox.from_extents(0, size.y0, figure.get_figwidth(), size.y1)
    for path in paths:
        storage.make_folder(path.parent)
        dated = {".svg": "Date", ".pdf": "CreationDate"}.get(path.suffix)
        with storage.writing(path):
            figure.savefig(path, metadata=dated and {dated: None}, bbox_inches=size)

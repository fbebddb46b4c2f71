"""How every figure looks: palette, axes, and saving without a display."""

import logging
import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context, rcdefaults, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from thaw import storage
from thaw.reporting.labels import distinct

log = logging.getLogger(__name__)
# Okabe and Ito's palette, told apart by the colour-blind; its yellow is too pale for lines.
BLUE, ORANGE = "#0072B2", "#D55E00"
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", ":", "-.")
GREY = "#767676"
LEGEND_ROW = 0.17  # inches
# A fixed salt and no date: the same runs give the same SVG, byte for byte.
SVG: dict[Any, Any] = {"svg.hashsalt": "thaw", "svg.fonttype": "path"}


@contextmanager
def own_style() -> Iterator[None]:
    """Draw in thaw's own style, whatever is configured; also a decorator.

    matplotlib reads its settings when a text is created as well as when it is drawn.
    """
    with rc_context():
        rcdefaults()
        rcParams.update(SVG)
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


def line_styles(count: int) -> list[dict[str, Any]]:
    """Colour and dashes for each of ``count`` lines; colours repeat with other dashes."""
    pairs = [{"color": c, "linestyle": d} for d in DASHES for c in COLOURS]
    return [pairs[k % len(pairs)] for k in range(count)]


def panels(count: int, columns: int, width: float, height: float) -> tuple[Figure, Sequence[Axes]]:
    """A figure of ``count`` axes, ``columns`` a row, each ``width`` x ``height`` inches."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
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
    fitting = max(1, int(15 * figure.get_figwidth() / longest))
    columns = min(fitting, len(labels))
    # The figure grows with the legend, which would leave the lines no room.
    height = max(label.count("\n") + 1 for label in labels)
    rows = height * math.ceil(len(labels) / columns)
    figure.set_figheight(figure.get_figheight() + LEGEND_ROW * max(0, rows - 4))
    place: dict[str, Any] = {"loc": "outside lower center", "ncols": columns}
    figure.legend(handles, labels, frameon=False, fontsize=8, **place)


def titled(titles: Iterable[str], width: int, lines: int = 3) -> list[str]:
    """Titles in about so many lines, each of at most ``width`` characters, no two the same."""
    half = width * lines // 2
    short = [t if len(t) <= 2 * half else f"{t[:half]}…{t[-half:]}" for t in titles]
    # A dollar sign would begin a formula.
    return ["\n".join(textwrap.wrap(t, width)).replace("$", r"\$") for t in distinct(short)]


def make_room(figure: Figure, titles: Sequence[str], columns: int) -> None:
    """Make a figure higher, so that the titles of its axes may have several lines."""
    lines = [title.count("\n") for title in titles]
    rows = [max(lines[k : k + columns]) for k in range(0, len(lines), columns)]
    figure.set_figheight(figure.get_figheight() + LEGEND_ROW * sum(rows))


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
    for path in paths:
        storage.make_folder(path.parent)
        metadata = {"Date": None} if path.suffix == ".svg" else None
        with storage.writing(path):
            figure.savefig(path, dpi=150, metadata=metadata, bbox_inches=size)

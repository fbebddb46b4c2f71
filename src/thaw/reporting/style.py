"""How every figure looks: palette, axes, and saving without a display."""

from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart by the colour-blind; its yellow is too pale for lines.
BLUE, ORANGE = "#0072B2", "#D55E00"
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", ":", "-.")
GREY = "#767676"
# A fixed salt and no date: the same runs give the same SVG, byte for byte.
SVG: dict[Any, Any] = {"svg.hashsalt": "thaw", "svg.fonttype": "path"}


def line_styles(count: int) -> list[dict[str, Any]]:
    """Colour and dashes for each of ``count`` lines; colours repeat with other dashes."""
    pairs = ({"color": c, "linestyle": d} for d in DASHES for c in COLOURS)
    return list(islice(cycle(list(pairs)), count))


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


def plain(text: str) -> str:
    """Text that matplotlib shows as it is, dollar signs included."""
    return text.replace("$", r"\$")


def shorten(text: str, length: int = 44) -> str:
    """Text of at most ``length`` characters, cut in the middle."""
    half = (length - 1) // 2
    return text if len(text) <= length else f"{text[:half]}…{text[-half:]}"


def show_image(axes: Axes, image: np.ndarray[Any, Any]) -> None:
    """Draw uint8 ``[H, W]`` or ``[H, W, 3]`` without ticks or frame."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure, its format by suffix, making the folder where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"Date": None} if path.suffix == ".svg" else None
    with rc_context(SVG):
        figure.savefig(path, dpi=150, metadata=metadata)

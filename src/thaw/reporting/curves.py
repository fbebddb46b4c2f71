"""Figures made of lines: schedules, activations, losses, scores, the histogram of classes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from thaw.diffusion.schedules import betas_of
from thaw.networks.activations import ACTIVATIONS
from thaw.reporting.style import (
    GREY,
    Look,
    legend_below,
    line_styles,
    log_scale,
    make_room,
    own_style,
    panels,
    titled,
)

Numbers = Sequence[float] | np.ndarray[Any, Any]
Points = tuple[Numbers, Numbers]
Looks = Mapping[str, Look]
"""Colour and dashes of each run, by title."""
# Lines of more points are kept as pixels, which an SVG or a PDF of them would be larger than.
MAX_POINTS = 2000


@dataclass(frozen=True)
class Curve:
    """Values over epochs or steps: their mean over seeds, and their standard deviation.

    ``floor`` and ``size`` are the floor and N of the last epoch's score, where they are known.
    """

    epochs: Numbers
    mean: Numbers
    std: Numbers
    floor: float | None = None
    size: float | None = None

    @classmethod
    def over_seeds(
        cls, found: Sequence[Points], floor: float | None = None, size: float | None = None
    ) -> "Curve":
        """The curve of what each seed has: epochs (or steps), and values."""
        values = pd.concat([pd.Series(values, epochs, float) for epochs, values in found])
        by_epoch = values.groupby(level=0)
        mean, std = by_epoch.mean(), by_epoch.std().fillna(0)
        return cls(mean.index.to_numpy(), mean.to_numpy(), std.to_numpy(), floor, size)


@dataclass(frozen=True)
class Losses:
    """Losses of a run in training and on the validation images; either may be empty."""

    train: Curve
    val: Curve


@own_style()
def schedule_figure(alpha_bars: Mapping[str, Tensor], looks: Looks | None = None) -> Figure:
    r"""beta_t and alpha_t = prod (1 - beta_s), the latter in the study's (Prince's) notation.

    Args:
        alpha_bars: by title, alpha_bar ``[T + 1]``.
    """
    figure, (left, right) = panels(2, 2, 3.6, 2.9)
    titles = titled(alpha_bars, figure.get_figwidth(), 2, "legend")
    lines = zip(titles, alpha_bars.values(), _looks(alpha_bars, looks), strict=True)
    for title, table, style in lines:
        left.plot(range(1, len(table)), betas_of(table), label=title, **style)
        right.plot(range(len(table)), table, **style)
    left.set_ylabel(r"$\beta_t$ (variance added in step $t$)")
    right.set_ylabel(r"$\alpha_t = \prod_{s \leq t} (1 - \beta_s)$")
    for axes in (left, right):
        axes.set_xlabel("step $t$")
        axes.set_ylim(bottom=0)
    legend_below(figure, left)
    return figure


@own_style()
def activation_figure(names: Sequence[str], looks: Looks | None = None) -> Figure:
    """The activation functions called ``names``, all of them known, on [-4, 4]."""
    figure, (axes,) = panels(1, 1, 3.6, 2.9)
    x = torch.linspace(-4, 4, 401)
    for name, look in zip(names, _looks(names, looks), strict=True):
        with torch.inference_mode():
            axes.plot(x, ACTIVATIONS[name]()(x), label=name.upper(), **look)
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.set_xlabel("$x$")
    axes.set_ylabel("activation")
    axes.legend(frameon=False)
    return figure


@own_style()
def loss_figure(
    runs: Mapping[str, Losses], over: Literal["epoch", "step"], looks: Looks | None = None
) -> Figure:
    """Losses of all runs in one plot: of training drawn through, of validation thin, with dots."""
    figure, (axes,) = panels(1, 1, 6.4, 3.8)
    titles = titled(runs, figure.get_figwidth(), 2, "legend")
    validation: dict[str, Any] = {"marker": "o", "ms": 2.5, "markevery": 0.1, "linewidth": 0.7}
    for title, losses, look in zip(titles, runs.values(), _looks(runs, looks), strict=True):
        _draw(axes, losses.train, look, label=title)
        _draw(axes, losses.val, look, **validation)
    curves = [curve for losses in runs.values() for curve in (losses.train, losses.val)]
    if any(len(losses.val.epochs) for losses in runs.values()):
        axes.plot([], [], color=GREY, label="training")
        axes.plot([], [], color=GREY, label="validation", **validation)
    log_scale(axes, (value for curve in curves for value in curve.mean))
    _begin_at_0(axes, curves)
    axes.set_xlabel("epoch" if over == "epoch" else "optimiser step")
    axes.set_ylabel("loss")
    legend_below(figure, axes)
    return figure


@own_style()
def steps_figure(each_step: Points, losses: Losses, look: Look | None = None) -> Figure:
    """The loss of each step of one run, pale, its mean over each epoch and that on validation."""
    figure, (axes,) = panels(1, 1, 6.4, 3.8)
    look = look or line_styles(1)[0]
    pale: dict[str, Any] = {"linewidth": 0.7, "alpha": 0.3, "rasterized": True}
    axes.plot(*each_step, color=look["color"], label="each step", **pale)
    _draw(axes, losses.train, look, label="mean of the epoch")
    _draw(axes, losses.val, {"color": "black", "linestyle": "--"}, label="validation")
    curves = [losses.train, losses.val, Curve(*each_step, each_step[1])]
    log_scale(axes, (value for curve in curves for value in curve.mean))
    _begin_at_0(axes, curves)
    axes.set_xlabel("optimiser step")
    axes.set_ylabel("loss")
    legend_below(figure, axes)
    return figure


@own_style()
def score_figure(
    runs: Mapping[str, Curve], label: str, log: bool, looks: Looks | None = None
) -> Figure:
    """One score over the epochs, a line for each run, a band of one standard deviation over seeds.

    Floors, what real test images score, are dotted grey, one for each N; one far outside of what
    the runs score is drawn at the edge, with an arrow. A single epoch is a dot.
    """
    figure, (axes,) = panels(1, 1, 6.4, 3.6)
    titles = titled(runs, figure.get_figwidth(), 2, "legend")
    for title, curve, look in zip(titles, runs.values(), _looks(runs, looks), strict=True):
        _draw(axes, curve, look, label=title, marker="o", ms=3)
    values = [value for curve in runs.values() for value in curve.mean if np.isfinite(value)]
    is_one = len(set(values)) == 1
    if log:
        log_scale(axes, values)
    bottom = 0.6 * min(values) if log and values and not is_one and min(values) > 0 else None
    _draw_floors(axes, runs.values(), bottom)
    _begin_at_0(axes, list(runs.values()))
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    legend_below(figure, axes)
    return figure


@own_style()
def class_figure(
    runs: Mapping[str, Numbers], real: Numbers | None, looks: Looks | None = None
) -> Figure:
    """The share of generated images in each class for each run; the data's shares as marks."""
    figure, cells = panels(len(runs), 4, 2.6, 2.1)
    titles = titled(runs, figure.get_figwidth() / min(4, len(runs)), 4)
    make_room(figure, titles, 4)
    drawn = zip(cells, titles, runs.values(), _looks(runs, looks), strict=True)
    for axes, title, counts, look in drawn:
        total = sum(counts) or 1
        shares = [100 * count / total for count in counts]
        axes.bar(range(len(counts)), shares, color=look["color"])
        if real is not None and len(real) == len(counts):
            shares = [100 * count / sum(real) for count in real]
            mark: dict[str, Any] = {"color": GREY, "ms": 9, "mew": 2}
            axes.plot(range(len(real)), shares, "_", label="real images", **mark)
        axes.set_title(title)
        axes.set_xlabel("class")
        axes.set_ylabel("images (%)")
        if len(counts) <= 10:
            axes.set_xticks(range(len(counts)))
    if real is not None:
        legend_below(figure, cells[0])
    return figure


def smoothed(values: Numbers, window: int) -> Numbers:
    """The mean of the ``window`` values around each; fewer at the ends."""
    rolling = pd.Series(values, dtype=float).rolling(window, min_periods=1, center=True)
    return np.asarray(rolling.mean())


def _looks(titles: Iterable[str], looks: Looks | None) -> list[Look]:
    """The looks of runs by title, else one for each in their order."""
    titles = list(titles)
    return line_styles(len(titles)) if looks is None else [looks[title] for title in titles]


def _draw(axes: Axes, curve: Curve, look: Look, **how: Any) -> None:
    """A curve with its band of one standard deviation; a dot where it is of one point."""
    mean, std = np.asarray(curve.mean), np.asarray(curve.std)
    if not len(mean):
        if "label" in how:
            axes.plot([], [], label=how["label"], **look)
        return
    dot = {"marker": "o", "ms": 4, "markevery": 1} if len(mean) == 1 else {}
    axes.plot(curve.epochs, mean, **look, **how | dot, rasterized=len(mean) > MAX_POINTS)
    if std.any():
        band: dict[str, Any] = {"color": look["color"], "alpha": 0.15, "lw": 0}
        axes.fill_between(curve.epochs, mean - std, mean + std, **band)


def _begin_at_0(axes: Axes, curves: Sequence[Curve]) -> None:
    """Begin the axes at 0 where all curves are of one place, which they would close in on."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    places = {float(epoch) for curve in curves for epoch in curve.epochs}
    if len(places) == 1 and max(places) > 0:
        axes.set_xlim(0, 1.25 * max(places))
    values = {float(value) for curve in curves for value in curve.mean if np.isfinite(value)}
    if len(values) == 1 and max(values) > 0:
        axes.set_ylim(0, max(1.25 * max(values), axes.get_ylim()[1]))


def _draw_floors(axes: Axes, curves: Iterable[Curve], bottom: float | None) -> None:
    """A dotted line for the floor of each N; at the edge and with an arrow if below ``bottom``.

    ``bottom`` becomes the lower end of the axis: a floor far below would press all curves into a
    corner. None is an axis that shows every floor.
    """
    found = {(curve.floor, curve.size) for curve in curves}
    floors = sorted((floor, size or 0) for floor, size in found if floor is not None)
    is_below = {floor: bottom is not None and floor < bottom for floor, _ in floors}
    for number, (floor, size) in enumerate(floors):
        of = "" if len(floors) == 1 or not size else f", N = {size:,.0f}"
        text = f"floor{of} ({floor:.3g})"
        line: dict[str, Any] = {"linestyle": (0, (1, 2 + 3 * number)), "linewidth": 1.2}
        line |= {"color": GREY, "label": text}
        if is_below[floor]:
            axes.plot([0, 1], [0, 0], **line, transform=axes.transAxes, clip_on=False)
        else:
            axes.axhline(floor, **line)
    if bottom is not None:
        axes.set_ylim(bottom=bottom)
    if below := [f"{floor:.3g}" for floor, _ in floors if is_below[floor]]:
        _point_down(axes, f"floor {', '.join(below)}")


def _point_down(axes: Axes, text: str) -> None:
    """A text whose arrow points out of the axes at their lower edge."""
    arrow = {"arrowstyle": "-|>", "color": GREY, "shrinkA": 0, "shrinkB": 0}
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "axes fraction"}
    place |= {"ha": "center", "va": "bottom", "annotation_clip": False}
    axes.annotate(text, (0.92, 0), (0.92, 0.12), color=GREY, arrowprops=arrow, **place)

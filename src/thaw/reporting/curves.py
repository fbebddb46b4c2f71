"""Figures made of lines: schedules, activations, losses, scores, the histogram of classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from thaw.diffusion.schedules import betas_of
from thaw.networks.activations import ACTIVATIONS
from thaw.reporting.style import (
    BLUE,
    GREY,
    ORANGE,
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


@dataclass(frozen=True)
class Curve:
    """A score over the epochs: its mean over seeds, and their standard deviation.

    ``floor`` and ``size`` are the floor and N of the last epoch's score, where they are known.
    """

    epochs: Numbers
    mean: Numbers
    std: Numbers
    floor: float | None = None
    size: float | None = None


@dataclass(frozen=True)
class Losses:
    """Steps and losses: of each step, of each epoch, on the validation images; any may be empty."""

    each_step: Points
    train: Points
    val: Points


@own_style()
def schedule_figure(alpha_bars: Mapping[str, Tensor]) -> Figure:
    r"""beta_t and alpha_t = prod (1 - beta_s), the latter in the study's (Prince's) notation.

    Args:
        alpha_bars: by title, alpha_bar ``[T + 1]``.
    """
    figure, (left, right) = panels(2, 2, 3.6, 2.9)
    titles = titled(alpha_bars, 90, 2)
    lines = zip(titles, alpha_bars.values(), line_styles(len(titles)), strict=True)
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
def activation_figure(names: Sequence[str]) -> Figure:
    """The activation functions called ``names``, all of them known, on [-4, 4]."""
    figure, (axes,) = panels(1, 1, 3.6, 2.9)
    x = torch.linspace(-4, 4, 401)
    for name, style in zip(names, line_styles(len(names)), strict=True):
        with torch.inference_mode():
            axes.plot(x, ACTIVATIONS[name]()(x), label=name.upper(), **style)
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.set_xlabel("$x$")
    axes.set_ylabel("activation")
    axes.legend(frameon=False)
    return figure


@own_style()
def loss_figure(runs: Mapping[str, Losses]) -> Figure:
    """The loss of each step, its mean over each epoch and the validation loss, for each run."""
    figure, cells = panels(len(runs), 2, 4.2, 2.7)
    titles = titled(runs, 44)
    make_room(figure, titles, 2)
    for axes, title, losses in zip(cells, titles, runs.values(), strict=True):
        pale: dict[str, Any] = {"color": "#B5CDE0", "linewidth": 0.7, "rasterized": True}
        axes.plot(*losses.each_step, label="each step", **pale)
        mark: dict[str, Any] = {"marker": "o" if len(losses.train[0]) == 1 else "", "ms": 4}
        axes.plot(*losses.train, color=BLUE, label="mean of the epoch", **mark)
        axes.plot(*losses.val, color=ORANGE, linestyle="--", label="validation", **mark)
        log_scale(axes, [*losses.each_step[1], *losses.train[1], *losses.val[1]])
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("optimiser step")
        axes.set_ylabel("loss")
    legend_below(figure, cells[0])
    return figure


@own_style()
def score_figure(runs: Mapping[str, Curve], label: str, log: bool) -> Figure:
    """One score over the epochs, a line for each run, a band of one standard deviation over seeds.

    Floors, what real test images score, are dotted grey, one for each N. A single epoch is a dot.
    """
    figure, (axes,) = panels(1, 1, 6.4, 3.6)
    found = {(curve.floor, curve.size) for curve in runs.values()}
    floors = sorted((floor, size or 0) for floor, size in found if floor is not None)
    lines = zip(titled(runs, 80, 2), runs.values(), line_styles(len(runs)), strict=True)
    for title, curve, style in lines:
        mean, std = np.asarray(curve.mean), np.asarray(curve.std)
        axes.plot(curve.epochs, mean, marker="o", ms=3, label=title, **style)
        if std.any():
            axes.fill_between(
                curve.epochs, mean - std, mean + std, color=style["color"], alpha=0.15, lw=0
            )
    for number, (floor, size) in enumerate(floors):
        of = "same N" if len(floors) == 1 or not size else f"N = {size:,.0f}"
        text = f"floor: real test images, {of} ({floor:.3g})"
        dots = (0, (1, 2 + 3 * number))
        axes.axhline(floor, color=GREY, linestyle=dots, linewidth=1.2, label=text)
    if log:
        values = [value for curve in runs.values() for value in curve.mean]
        log_scale(axes, [*values, *(floor for floor, _ in floors)])
        # A floor far below would press all curves into a corner; the legend has its value.
        axes.set_ylim(bottom=0.6 * min(values) if min(values) > 0 else None)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    legend_below(figure, axes)
    return figure


@own_style()
def class_figure(runs: Mapping[str, Numbers], real: Numbers | None) -> Figure:
    """The share of generated images in each class for each run; the data's shares as marks."""
    figure, cells = panels(len(runs), 4, 2.6, 2.1)
    titles = titled(runs, 30, 4)
    make_room(figure, titles, 4)
    for axes, title, counts in zip(cells, titles, runs.values(), strict=True):
        total = sum(counts) or 1
        axes.bar(range(len(counts)), [100 * count / total for count in counts], color=BLUE)
        if real is not None and len(real) == len(counts):
            shares = [100 * count / sum(real) for count in real]
            axes.plot(range(len(real)), shares, "_", color=ORANGE, ms=9, mew=2, label="real images")
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("class")
        axes.set_ylabel("images (%)")
        if len(counts) <= 10:
            axes.set_xticks(range(len(counts)))
            axes.tick_params(axis="x", labelsize=8)
    if real is not None:
        legend_below(figure, cells[0])
    return figure

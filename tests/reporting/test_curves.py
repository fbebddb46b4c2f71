"""Figures made of lines show the numbers that they were given, and titles as they are written."""

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from matplotlib import rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image
from reporting_support import TITLE, written
from torch import nn

from thaw.diffusion.schedules import alpha_bar_of, cosine, linear
from thaw.reporting.curves import (
    Curve,
    Losses,
    activation_figure,
    class_figure,
    loss_figure,
    schedule_figure,
    score_figure,
)
from thaw.reporting.panels import forward_strip, restoration_figure, samples_figure
from thaw.reporting.style import harmless, save_figure
from thaw.storage import WriteError

NOTHING: tuple[list[float], list[float]] = ([], [])
LOSSES = Losses(([1, 2, 3, 4], [0.9, 0.5, 0.4, 0.2]), ([2, 4], [0.7, 0.3]), ([2, 4], [0.8, 0.35]))
CURVE = Curve([1, 2, 4], [90.0, 40.0, 10.0], [0.0, 0.0, 0.0], 2.5, 250)
BLANK = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)


# What mathtext, the legend or the layout would stumble over.
def lines(axes: Axes) -> dict[str, Line2D]:
    return {str(line.get_label()): line for line in axes.get_lines()}


def data(line: Line2D) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in zip(*line.get_data(), strict=True)]


def points(xs: object, ys: object) -> list[tuple[float, float]]:
    return list(zip(xs, ys, strict=True))  # type: ignore[call-overload]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for each in figure.legends for text in each.get_texts()]


def test_the_schedule_s_betas_and_their_products() -> None:
    betas = torch.linspace(1e-4, 0.02, 50, dtype=torch.float64)
    figure = schedule_figure(
        {"linear": alpha_bar_of(linear(50)), "cosine": alpha_bar_of(cosine(20))}
    )
    left, right = figure.axes
    steps, shown = lines(left)["linear"].get_data()
    assert list(steps) == list(range(1, 51))
    np.testing.assert_allclose(shown, betas, rtol=1e-9)
    steps, shown = right.get_lines()[0].get_data()
    assert list(steps) == list(range(51))
    np.testing.assert_allclose(shown, [1, *np.cumprod(1 - betas.numpy())], rtol=1e-12)
    np.testing.assert_allclose(right.get_lines()[1].get_ydata(), alpha_bar_of(cosine(20)))
    colours = [[line.get_color() for line in axes.get_lines()] for axes in (left, right)]
    assert colours[0] == colours[1]
    assert legend(figure) == ["linear", "cosine"]
    assert legend(schedule_figure({"": alpha_bar_of(linear(5))})) == []


def test_activation_functions_are_torchs() -> None:
    figure = activation_figure(["gelu", "selu"])
    drawn = lines(figure.axes[0])
    for name, function in (("GELU", nn.functional.gelu), ("SELU", nn.functional.selu)):
        x, y = map(np.asarray, drawn[name].get_data())
        assert (x.min(), x.max()) == (-4, 4)
        np.testing.assert_allclose(y, function(torch.from_numpy(x)), rtol=1e-6)


def test_losses_are_drawn_at_their_steps() -> None:
    figure = loss_figure({"a": LOSSES, "b": Losses(NOTHING, ([4], [0.3]), NOTHING)})
    first, second = (lines(axes) for axes in figure.axes)
    assert data(first["each step"]) == points(*LOSSES.each_step)
    assert data(first["mean of the epoch"]) == points(*LOSSES.train)
    assert data(first["validation"]) == points(*LOSSES.val)
    assert data(second["mean of the epoch"]) == [(4, 0.3)]
    assert second["mean of the epoch"].get_marker() == "o"  # a line of one point is invisible
    assert [axes.get_title() for axes in figure.axes] == ["a", "b"]
    assert legend(figure) == ["each step", "mean of the epoch", "validation"]


def test_scores_and_their_floors_are_drawn_as_given() -> None:
    other = Curve([2], [30.0], [0.0], 5.0, 100)
    same = Curve([1, 2], [80.0, 20.0], [0.0, 0.0], 2.5, 250)
    figure = score_figure({"a": CURVE, "b": other, "c": same}, "FID", log=True)
    (axes,) = figure.axes
    drawn = lines(axes)
    for title, curve in (("a", CURVE), ("b", other), ("c", same)):
        assert data(drawn[title]) == points(curve.epochs, curve.mean)
        assert drawn[title].get_marker() == "o"
    floors = [line for line in axes.get_lines() if list(line.get_xdata()) == [0, 1]]  # all across
    assert [list(line.get_ydata()) for line in floors] == [[2.5, 2.5], [5.0, 5.0]]
    real = [f"floor: real test images, N = {n} ({floor})" for n, floor in ((250, 2.5), (100, 5))]
    assert legend(figure) == ["a", "b", "c", *real]
    (alone,) = legend(score_figure({"": same}, "FID", log=True))
    assert alone == "floor: real test images, same N (2.5)"
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale()) == ("epoch", "FID", "log")
    assert not axes.collections


def test_the_band_is_one_standard_deviation_to_either_side() -> None:
    curve = Curve([1, 2], [5.0, 3.0], [0.5, 0.25])
    figure = score_figure({"a": curve}, "IS", log=False)
    assert len(figure.axes[0].get_lines()) == 1  # no floor
    (band,) = figure.axes[0].collections
    (path,) = band.get_paths()
    corners = {tuple(map(float, vertex)) for vertex in path.vertices}
    assert corners == {(1, 4.5), (1, 5.5), (2, 2.75), (2, 3.25)}


def test_a_score_that_is_not_a_number_leaves_a_gap(tmp_path: Path) -> None:
    curve = Curve([1, 2, 3], [5.0, float("nan"), 3.0], [0.0, float("nan"), 0.0])
    figure = score_figure({"a": curve}, "FID", log=True)
    assert np.isnan(figure.axes[0].get_lines()[0].get_ydata()[1])
    save_figure(figure, tmp_path / "x.png")
    save_figure(loss_figure({"a": Losses(NOTHING, NOTHING, NOTHING)}), tmp_path / "none.png")
    assert Image.open(tmp_path / "none.png").size > (0, 0)


def test_shares_of_the_classes_sum_to_100() -> None:
    counts, real = [1, 2, 3, 4], [10, 10, 10, 30]
    figure = class_figure({"a": counts, "b": [0, 7, 0, 0]}, real)
    first, second = figure.axes
    heights = [[bar.get_height() for bar in axes.patches] for axes in (first, second)]
    assert heights[0] == pytest.approx([10, 20, 30, 40])
    assert heights[1] == pytest.approx([0, 100, 0, 0])
    marks = lines(first)["real images"].get_ydata()
    assert list(marks) == pytest.approx([100 / 6, 100 / 6, 100 / 6, 50])
    assert sum(heights[0]) == pytest.approx(100) == sum(marks)
    assert legend(figure) == ["real images"]
    assert not class_figure({"a": [1, 2, 3]}, [1, 2]).axes[0].get_lines()  # other classes


@pytest.mark.parametrize(
    "make",
    [
        lambda titles: loss_figure(dict.fromkeys(titles, LOSSES)),
        lambda titles: class_figure({title: [1, 2] for title in titles}, None),
        lambda titles: restoration_figure([(title, {"original": BLANK}) for title in titles]),
        lambda titles: samples_figure({title: {1: BLANK[0, 0].numpy()} for title in titles}, [1]),
        lambda titles: score_figure(dict.fromkeys(titles, CURVE), "FID", log=True),
        lambda titles: schedule_figure(dict.fromkeys(titles, alpha_bar_of(linear(5)))),
    ],
)
def test_titles_are_drawn_as_written_and_differ_where_they_differ_in_their_middle(
    make: Callable[[list[str]], Figure],
) -> None:
    assert TITLE in written(make([TITLE]))
    start, end = "degradation=column_random trainer.max_epochs=20", "seed=1 data.batch_size=64"
    values = ("gelu", "selu", "relu")
    figure = make([f"{start} model.activation={value} {end}" for value in values])
    shown = " ".join(written(figure))
    assert all(f"activation={value}" in shown.replace("model.", "") for value in values), shown


SETTINGS = {
    "text.usetex": True,
    "font.family": ["no such font"],
    "font.size": 30,
    "savefig.format": "pdf",
    "savefig.dpi": 10,
    "axes.facecolor": "black",
    "lines.linewidth": 9,
    "axes.grid": True,
}


def test_figures_have_their_own_style_whatever_is_configured(tmp_path: Path) -> None:
    images = [torch.zeros(2, 1, 8, 8, dtype=torch.uint8)] * 2
    makers: list[Callable[[], Figure]] = [
        lambda: score_figure({"a": CURVE}, "FID", log=True),
        lambda: class_figure({"a": [1, 2]}, [1, 2]),
        lambda: forward_strip(images, [0, 5]),
    ]
    for number, make in enumerate(makers):
        save_figure(make(), tmp_path / f"{number}.png")
        with rc_context(SETTINGS):
            save_figure(make(), tmp_path / f"{number}_configured.png")
            assert rcParams["font.size"] == 30  # theirs again
        usual, configured = (
            (tmp_path / f"{number}{end}.png").read_bytes() for end in ("", "_configured")
        )
        assert configured == usual, number


def test_a_figure_that_fails_is_a_warning_and_a_full_disk_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with harmless("schedule"):
        raise ValueError("no such font")
    assert caplog.messages == ["schedule could not be drawn, going on without it: no such font"]
    with pytest.raises(WriteError, match="full"), harmless("schedule"):
        raise WriteError("full")


def test_the_same_figure_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_figure(score_figure({"x": CURVE}, "FID", log=True), tmp_path / name / "f.svg")
    first, second = ((tmp_path / name / "f.svg").read_bytes() for name in ("a", "b"))
    assert first == second
    ElementTree.fromstring(first)

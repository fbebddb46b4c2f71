"""Figures made of lines show the numbers that they were given, and titles as they are written."""

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from matplotlib import rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
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
    smoothed,
    steps_figure,
)
from thaw.reporting.panels import forward_strip, restoration_figure, samples_figure
from thaw.reporting.style import harmless, save_figure
from thaw.storage import WriteError

NOTHING = Curve([], [], [])
STEPS = ([1, 2, 3, 4], [0.9, 0.5, 0.4, 0.2])
LOSSES = Losses(Curve([2, 4], [0.7, 0.3], [0, 0]), Curve([2, 4], [0.8, 0.35], [0, 0]))
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


def test_losses_of_several_runs_are_in_one_plot() -> None:
    noisy = Losses(Curve([2, 4], [0.6, 0.2], [0.1, 0.05]), NOTHING)
    figure = loss_figure({"a": LOSSES, "b": noisy}, "step")
    (axes,) = figure.axes
    train_a, val_a, train_b = axes.get_lines()[:3]
    assert data(train_a) == [(2, 0.7), (4, 0.3)]
    assert data(val_a) == [(2, 0.8), (4, 0.35)]
    assert data(train_b) == [(2, 0.6), (4, 0.2)]
    assert train_a.get_color() == val_a.get_color() != train_b.get_color()
    assert val_a.get_linewidth() < train_a.get_linewidth()
    (band,) = axes.collections
    corners = {(float(x), round(float(y), 9)) for x, y in band.get_paths()[0].vertices}
    assert corners == {(2, 0.5), (2, 0.7), (4, 0.15), (4, 0.25)}
    assert axes.get_xlabel() == "optimiser step"
    assert legend(figure) == ["a", "b", "training", "validation"]
    assert loss_figure({"a": noisy}, "epoch").axes[0].get_xlabel() == "epoch"
    assert legend(loss_figure({"a": noisy}, "epoch")) == ["a"]  # nothing to tell apart


def test_the_losses_of_one_run_are_drawn_at_its_steps() -> None:
    (axes,) = steps_figure(STEPS, LOSSES).axes
    drawn = lines(axes)
    assert data(drawn["each step"]) == points(*STEPS)
    assert data(drawn["mean of the epoch"]) == [(2, 0.7), (4, 0.3)]
    assert data(drawn["validation"]) == [(2, 0.8), (4, 0.35)]
    one = steps_figure(STEPS, Losses(Curve([4], [0.3], [0]), NOTHING))
    assert lines(one.axes[0])["mean of the epoch"].get_marker() == "o"  # or it is invisible


@pytest.mark.parametrize(
    ("window", "expected"), [(1, [4, 2, 6, 8]), (3, [3, 4, 16 / 3, 7]), (9, [5, 5, 5, 5])]
)
def test_a_running_mean_is_over_what_is_around(window: int, expected: list[float]) -> None:
    assert list(smoothed([4, 2, 6, 8], window)) == pytest.approx(expected)


def test_a_curve_over_seeds_is_their_mean_and_deviation_where_any_has_a_value() -> None:
    curve = Curve.over_seeds([([1, 2], [1.0, 5.0]), ([1, 3], [3.0, 7.0])])
    assert list(curve.epochs) == [1, 2, 3]
    assert list(curve.mean) == [2, 5, 7]
    assert list(curve.std) == pytest.approx([np.sqrt(2), 0, 0])


def test_scores_and_their_floors_are_drawn_as_given() -> None:
    other = Curve([2], [30.0], [0.0], 5.0, 100)
    same = Curve([1, 2], [80.0, 20.0], [0.0, 0.0], 2.5, 250)
    figure = score_figure({"a": CURVE, "b": other, "c": same}, "FID", log=True)
    (axes,) = figure.axes
    drawn = lines(axes)
    for title, curve in (("a", CURVE), ("b", other), ("c", same)):
        assert data(drawn[title]) == points(curve.epochs, curve.mean)
        assert drawn[title].get_marker() == "o"
    below, inside = axes.get_lines()[-2:]  # 2.5 is far below 10, the best that a run has
    assert list(inside.get_ydata()) == list(below.get_ydata()) == [0, 0]
    real = [f"floor, N = {n} ({floor})" for n, floor in ((250, 2.5), (100, 5))]
    assert legend(figure) == ["a", "b", "c", *real]
    (alone,) = legend(score_figure({"": same}, "FID", log=True))
    assert alone == "floor (2.5)"
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale()) == ("epoch", "FID", "log")
    assert not axes.collections


def heights(axes: Axes) -> dict[str, float]:
    """Where each floor is drawn, from 0 at the lower edge of the axes to 1."""
    return {
        label: float(axes.transAxes.inverted().transform(line.get_transform().transform((0, y)))[1])
        for label, line in lines(axes).items()
        if label.startswith("floor")
        for y in [line.get_ydata()[0]]
    }


@pytest.mark.parametrize("epochs", [[1, 2, 4], [3]])
@pytest.mark.parametrize("values", [[90.0, 40.0, 10.0], [11.0, 10.0, 10.5], [10.0, 10.0, 10.0]])
@pytest.mark.parametrize("floor", [0.04, 8.0, 200.0])
def test_every_floor_is_in_the_picture_and_one_far_below_at_its_edge_with_an_arrow(
    floor: float, values: list[float], epochs: list[int]
) -> None:
    curve = Curve(epochs, values[: len(epochs)], [0.0] * len(epochs), floor, 250)
    (axes,) = score_figure({"a": curve}, "FID", log=True).axes
    (height,) = heights(axes).values()
    assert 0 <= height <= 1
    is_outside = floor < axes.get_ylim()[0]
    shown = [text for text in axes.texts if text.arrow_patch is not None]  # type: ignore[attr-defined]
    assert [text.get_text() for text in shown] == ([f"floor {floor:.3g}"] if is_outside else [])
    assert (height == pytest.approx(0, abs=1e-9)) == is_outside
    bottom, top = axes.get_ylim()
    assert all(bottom < value < top for value in curve.mean)
    for text in shown:  # it points down, at the edge
        assert text.xy[1] == 0 < text.xyann[1]  # type: ignore[attr-defined]


@pytest.mark.parametrize("epoch", [1, 3, 100])
def test_one_point_is_a_point_on_axes_that_begin_at_0(epoch: int) -> None:
    one = Curve([epoch], [0.5], [0.0])
    for figure in (
        score_figure({"a": one, "b": Curve([epoch], [0.4], [0.0])}, "IS", log=False),
        loss_figure({"a": Losses(one, NOTHING), "b": Losses(NOTHING, NOTHING)}, "epoch"),
    ):
        (axes,) = figure.axes
        assert axes.get_xlim() == (0, 1.25 * epoch)
        assert all(float(tick).is_integer() for tick in axes.get_xticks())
        assert lines(axes)["a"].get_marker() == "o"
    assert score_figure({"a": one}, "IS", log=False).axes[0].get_ylim() == (0, 0.625)


LOOKS = {"a": {"color": "#123456", "linestyle": "--"}, "b": {"color": "#654321", "linestyle": "-"}}


@pytest.mark.parametrize(
    "draw",
    [
        lambda a, b: score_figure({b: CURVE, a: CURVE}, "FID", True, LOOKS),
        lambda a, b: loss_figure({b: LOSSES, a: LOSSES}, "epoch", LOOKS),
        lambda a, b: schedule_figure(dict.fromkeys((b, a), alpha_bar_of(linear(5))), LOOKS),
    ],
)
def test_a_run_has_its_own_look_wherever_it_stands(draw: Callable[[str, str], Figure]) -> None:
    axes = draw("a", "b").axes[0]
    for title, look in LOOKS.items():
        assert lines(axes)[title].get_color() == look["color"]
        assert lines(axes)[title].get_linestyle() == look["linestyle"]


def test_bars_and_single_runs_have_the_colour_of_their_run() -> None:
    for axes, title in zip(class_figure({"b": [1, 2], "a": [1, 2]}, None, LOOKS).axes, "ba"):  # noqa: B905
        assert {to_hex(bar.get_facecolor()) for bar in axes.patches} == {LOOKS[title]["color"]}
    assert (
        lines(steps_figure(STEPS, LOSSES, LOOKS["a"]).axes[0])["each step"].get_color()
        == (LOOKS["a"]["color"])
    )


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
    save_figure(loss_figure({"a": Losses(NOTHING, NOTHING)}, "epoch"), tmp_path / "none.png")
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
        lambda titles: loss_figure(dict.fromkeys(titles, LOSSES), "epoch"),
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

"""The figures of a whole report: one look for a run, and losses as the keys say."""

from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from reporting_support import step_losses, write_run

from thaw.reporting.finished import read_run
from thaw.reporting.groups import Group, group_by_seed
from thaw.reporting.sections import LossAxes, Options, sections
from thaw.reporting.style import line_styles

SHOWN = {"a=1", "a=2", "a=3"}


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> list[Group]:
    """Three experiments, the second of two seeds, each with the look that a report gives it."""
    folder = tmp_path_factory.mktemp("runs")
    runs = [
        write_run(folder / f"{k}", "hot", seed, overrides=[f"a={a}", f"seed={seed}"])
        for k, (a, seed) in enumerate([(1, 0), (2, 0), (2, 1), (3, 0)])
    ]
    found = group_by_seed([read_run(run) for run in runs])
    return [replace(g, look=look) for g, look in zip(found, line_styles(len(found)), strict=True)]


def figures(groups: list[Group], **losses: Any) -> dict[str, tuple[str, Figure]]:
    """Caption and figure of each drawing by its name."""
    return {
        drawing.name: (drawing.caption, drawing.draw())
        for section in sections(groups, groups, Options(losses=LossAxes(**losses)))
        for drawing in section.drawings
    }


def test_a_run_has_the_same_colour_in_every_figure(groups: list[Group]) -> None:
    colours, where = defaultdict(set), defaultdict(set)
    for name, (_, figure) in figures(groups).items():
        for axes in figure.axes:
            for line in axes.get_lines():
                if (title := str(line.get_label())) in SHOWN:
                    colours[title].add(to_hex(line.get_color()))
                    where[title].add(name)
            title = axes.get_title().removesuffix(" (seed 0)")
            if title in SHOWN and axes.patches:
                colours[title] |= {to_hex(bar.get_facecolor()) for bar in axes.patches}
                where[title].add(name)
    assert {title: len(found) for title, found in colours.items()} == dict.fromkeys(SHOWN, 1)
    assert len(set.union(*colours.values())) == len(SHOWN)
    for title in SHOWN:
        assert {"fid", "is", "loss", "classes"} <= where[title]


@pytest.mark.parametrize("smooth", [1, 3])
def test_the_losses_of_every_step_are_means_over_the_seeds(
    smooth: int, groups: list[Group]
) -> None:
    caption, figure = figures(groups, over="step", smooth=smooth)["loss"]
    (axes,) = figure.axes
    drawn = {str(line.get_label()): line for line in axes.get_lines()}
    assert drawn.keys() >= SHOWN
    both = [(x + y) / 2 for x, y in zip(step_losses(0), step_losses(1), strict=True)]
    reach = smooth // 2
    expected = [
        sum(near) / len(near)
        for k in range(len(both))
        for near in [both[max(0, k - reach) : k + reach + 1]]
    ]
    assert list(drawn["a=2"].get_xdata()) == list(range(1, len(both) + 1))
    assert list(drawn["a=2"].get_ydata()) == pytest.approx(expected, rel=1e-5)
    assert ("running mean over 3 steps" in caption) == (smooth == 3)
    assert "1 to 2 seeds, the bands are" in caption


def test_over_the_epochs_they_are_those_of_metrics_csv(groups: list[Group]) -> None:
    caption, figure = figures(groups)["loss"]
    drawn = {str(line.get_label()): line for line in figure.axes[0].get_lines()}
    assert list(drawn["a=1"].get_xdata()) == [1, 2, 3]
    assert list(drawn["a=1"].get_ydata()) == pytest.approx([0.5, 0.25, 0.5 / 3])
    assert caption.startswith("Training loss (mean over each epoch) and validation loss; ")
    assert "do not compare" in caption


def test_captions_of_pictures_name_the_ways_that_are_there(groups: list[Group]) -> None:
    caption, _ = figures(groups)["restoration"]
    assert "the run's own sampler" in caption
    assert "Algorithm" not in caption
    assert "N = 1,000, encoder mnist-cnn-v1" in figures(groups)["classes"][0]

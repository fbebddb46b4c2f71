"""Figures made of images show those images, each where its label says."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from reporting_support import HOT_STAGES, STAGES
from torch import Tensor

from thaw.reporting.panels import forward_strip, restoration_figure, samples_figure

NUM_IMAGES, SIDE = 3, 28
FACTOR = 3  # to at least 84 pixels a side
CELL = FACTOR * SIDE + FACTOR


def random_images(channels: int = 1) -> Tensor:
    return torch.randint(0, 256, (NUM_IMAGES, channels, SIDE, SIDE), dtype=torch.uint8)


def shown(figure: Figure, k: int = 0) -> np.ndarray:
    (image,) = figure.axes[k].images
    return np.asarray(image.get_array())


def tile(block: np.ndarray, row: int, column: int) -> np.ndarray:
    """An image of a grid, at its own size again."""
    top, left = row * CELL + FACTOR, column * CELL + FACTOR
    return block[top : top + FACTOR * SIDE : FACTOR, left : left + FACTOR * SIDE : FACTOR]


@pytest.mark.parametrize("channels", [1, 3])
def test_each_stage_of_a_restoration_is_the_row_that_its_label_names(channels: int) -> None:
    stages = {name: random_images(channels) for name in reversed(STAGES)}
    other = {name: random_images() for name in HOT_STAGES}
    figure = restoration_figure([("a", stages), ("b", other)])
    axes = figure.axes[0]
    names = [[text.get_text() for text in each.get_yticklabels()] for each in figure.axes]
    assert names[0] == ["original", "degraded", "direct prediction", "Algorithm 1", "Algorithm 2"]
    assert names[1] == ["original", "degraded", "direct prediction", "sampled"]
    block = shown(figure)
    for row, name in enumerate(STAGES):
        assert row * CELL < axes.get_yticks()[row] < (row + 1) * CELL + FACTOR
        for column in range(NUM_IMAGES):
            expected = stages[name][column].expand(3, -1, -1).permute(1, 2, 0)
            assert np.array_equal(tile(block, row, column), expected)
    assert [each.get_title() for each in figure.axes] == ["a", "b"]


def test_grids_stand_in_the_row_of_their_run_and_the_column_of_their_epoch() -> None:
    draws = np.random.default_rng(0)
    first, last, other = (draws.integers(0, 256, (9, 9), dtype=np.uint8) for _ in range(3))
    figure = samples_figure({"a": {1: first, 20: last}, "b": {20: other}}, [1, 20])
    assert np.array_equal(shown(figure, 0), first)
    assert np.array_equal(shown(figure, 1), last)
    assert not figure.axes[2].images  # b has nothing of epoch 1
    assert np.array_equal(shown(figure, 3), other)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["epoch 1", "epoch 20", "", "epoch 20"]
    assert [figure.axes[k].get_ylabel() for k in (0, 2)] == ["a", "b"]


def test_the_forward_strip_has_a_column_a_step() -> None:
    columns = [random_images() for _ in range(2)]
    figure = forward_strip(columns, [0, 14])
    assert [axes.get_title() for axes in figure.axes[:2]] == ["$t = 0$", "$t = 14$"]
    for k, axes in enumerate(figure.axes):
        expected = columns[k % 2][k // 2, 0]
        assert np.array_equal(np.asarray(axes.images[0].get_array()), expected)

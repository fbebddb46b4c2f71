"""Line averaging: the orders, the projection's identities, groups, and what is refused."""

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from thaw.diffusion.degradations.line_average import LineAverage, Order, line_order

EVERY_KIND = [(axis, order) for axis in ("column", "row") for order in get_args(Order)]
few = settings(max_examples=25, deadline=None, derandomize=True)


@st.composite
def cases(draw: st.DrawFn) -> tuple[LineAverage, Tensor]:
    """A degradation of some image shape, and a batch of images for it, float64."""
    channels, height, width = draw(st.tuples(*[st.integers(1, n) for n in (3, 9, 9)]))
    axis, order = draw(st.sampled_from(EVERY_KIND))
    side = width if axis == "column" else height
    group_size = draw(st.sampled_from([d for d in range(1, side + 1) if side % d == 0]))
    seed = draw(st.integers(0, 99))
    degradation = LineAverage((channels, height, width), axis, order, group_size, seed)
    images = torch.randn(
        draw(st.integers(1, 4)),
        channels,
        height,
        width,
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
    )
    return degradation, images


def degrade(degradation: LineAverage, x_0: Tensor, t: int | Tensor) -> Tensor:
    steps = t if isinstance(t, Tensor) else torch.full((len(x_0),), t)
    return degradation(x_0, steps, degradation.draw_noise(x_0))


def order_of(degradation: LineAverage) -> list[int]:
    """The groups, from 0, in the order in which they are averaged."""
    return degradation.step_of_line.argsort().tolist()


def by_loops(degradation: LineAverage, axis: str, image: Tensor, t: int) -> Tensor:
    """The definition, one image ``[C, H, W]``, one group, one channel at a time."""
    out, size = image.clone(), degradation.group_size
    for group in order_of(degradation)[:t]:
        lines = slice(group * size, (group + 1) * size)
        for channel in out:
            block = channel[:, lines] if axis == "column" else channel[lines]
            block.fill_(sum(block.flatten().tolist()) / block.numel())
    return out


def test_the_orders_are_those_of_the_study() -> None:
    outside_in = [1, 28, 2, 27, 3, 26, 4, 25, 5, 24, 6, 23, 7, 22]
    outside_in += [8, 21, 9, 20, 10, 19, 11, 18, 12, 17, 13, 16, 14, 15]
    inside_out = [14, 15, 13, 16, 12, 17, 11, 18, 10, 19, 9, 20, 8, 21]
    inside_out += [7, 22, 6, 23, 5, 24, 4, 25, 3, 26, 2, 27, 1, 28]
    assert (line_order("outside_in", 28, 0) + 1).tolist() == outside_in
    assert (line_order("inside_out", 28, 0) + 1).tolist() == inside_out
    assert (line_order("outside_in", 5, 0) + 1).tolist() == [1, 5, 2, 4, 3]
    assert (line_order("inside_out", 5, 0) + 1).tolist() == [3, 4, 2, 5, 1]


def test_the_last_line_is_averaged_first_and_restored_last() -> None:
    assert order_of(LineAverage((1, 3, 4), "row", "last_to_first")) == [2, 1, 0]
    assert order_of(LineAverage((1, 6, 4), "row", "last_to_first", group_size=2)) == [2, 1, 0]


@given(st.integers(1, 60), st.sampled_from(get_args(Order)), st.integers(0, 2**40))
@few
def test_every_order_takes_each_line_once(num_lines: int, order: str, seed: int) -> None:
    assert sorted(line_order(order, num_lines, seed).tolist()) == list(range(num_lines))


@given(cases(), st.data())
@few
def test_it_is_its_definition_and_batched_equals_one_by_one(
    case: tuple[LineAverage, Tensor], data: st.DataObject
) -> None:
    degradation, x_0 = case
    axis = "column" if degradation.line_dim == 3 else "row"
    steps = st.integers(0, degradation.num_steps)
    t = torch.tensor([data.draw(steps) for _ in x_0])
    untouched = x_0.clone()
    x_t = degrade(degradation, x_0, t)
    assert torch.equal(x_0, untouched)
    for k, image in enumerate(x_0):
        expected = by_loops(degradation, axis, image, int(t[k]))
        torch.testing.assert_close(x_t[k], expected, rtol=1e-12, atol=1e-13)
        alone = degrade(degradation, x_0[k : k + 1], t[k : k + 1])
        torch.testing.assert_close(alone[0], x_t[k], rtol=0, atol=1e-15)


def test_the_order_may_be_given_line_by_line_or_group_by_group() -> None:
    assert order_of(LineAverage((1, 3, 4), "column", [2, 0, 3, 1])) == [2, 0, 3, 1]
    assert order_of(LineAverage((1, 6, 4), "row", [1, 2, 0], group_size=2)) == [1, 2, 0]


@pytest.mark.parametrize("order", [[0, 1, 2], [0, 1, 2, 2], [1, 2, 3, 4], [0, 1, 2, 3, 4]])
def test_a_given_order_that_is_none_of_its_lines_is_refused(order: list[int]) -> None:
    with pytest.raises(ValueError, match="order must name each of 4 lines or groups once, from 0"):
        LineAverage((1, 3, 4), "column", order)

"""The order, completeness and continuation of batches."""

from collections.abc import Iterable
from itertools import chain

import pytest
import torch
from data_support import numbered

from thaw.data.loader import BatchLoader, EpochShuffle, ShuffledBatchLoader
from thaw.data.sources import ImageSet
from thaw.pixels import PixelRange

RANGE = PixelRange(-0.5, 0.5)


def shown(loader: BatchLoader) -> list[list[int]]:
    """The numbers of the images of each batch, read from the labels."""
    return [labels.tolist() for _, labels in loader]


def joined(batches: Iterable[list[int]]) -> list[int]:
    return list(chain.from_iterable(batches))


def epoch(loader: ShuffledBatchLoader, number: int) -> list[list[int]]:
    loader.sampler.set_epoch(number)
    return shown(loader)


def test_batches_are_the_stored_images_in_the_pixel_range() -> None:
    data = numbered(100)
    loader = ShuffledBatchLoader(data, PixelRange(-1.0, 1.0), 8, seed=0)
    for x_0, labels in loader:
        assert (x_0.shape, x_0.dtype) == ((8, 1, 2, 2), torch.float32)
        assert (labels.shape, labels.dtype) == ((8,), torch.int64)
        expected = (labels.double() / 255 * 2 - 1).view(-1, 1, 1, 1).expand(8, 1, 2, 2)
        torch.testing.assert_close(x_0.double(), expected, rtol=0, atol=1e-6)


def test_an_epoch_of_mnists_size_has_468_batches_and_no_image_twice() -> None:
    data = ImageSet(torch.zeros(60_000, 1, 1, 1, dtype=torch.uint8), torch.arange(60_000))
    loader = ShuffledBatchLoader(data, RANGE, 128, seed=0)
    numbers = torch.tensor(shown(loader))
    assert numbers.shape == (468, 128)
    assert len(loader) == 468
    assert len(numbers.unique()) == 468 * 128


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    data = numbered(200)
    one, same, other = (ShuffledBatchLoader(data, RANGE, 10, seed) for seed in (7, 7, 8))
    forwards = [epoch(one, number) for number in range(3)]
    torch.manual_seed(99)  # the global generator has no say
    assert [epoch(same, number) for number in (2, 1, 0)] == forwards[::-1]
    orders = forwards + [epoch(other, number) for number in range(3)]
    assert len({str(order) for order in orders}) == 6


def test_the_order_is_uniform() -> None:
    """The mean and spread of where item 0 lands, over 2,000 epochs, are those of a fair shuffle."""
    shuffle = EpochShuffle(100, seed=3)
    places = []
    for number in range(2000):
        shuffle.set_epoch(number)
        places.append(int((shuffle.order() == 0).nonzero()))
    spread = (100**2 - 1) / 12
    assert abs(sum(places) / 2000 - 49.5) < 4 * (spread / 2000) ** 0.5
    assert abs(torch.tensor(places).double().var() / spread - 1) < 0.1


def test_in_order_everything_is_shown_once() -> None:
    loader = BatchLoader(numbered(50), RANGE, 8)
    batches = shown(loader)
    assert [len(batch) for batch in batches] == [8] * 6 + [2]
    assert joined(batches) == list(range(50))
    assert shown(loader) == batches
    assert len(loader) == 7


@pytest.mark.parametrize("num_handed_out", [0, 1, 4, 5])
def test_it_continues_after_the_batches_handed_out(num_handed_out: int) -> None:
    data = numbered(43)
    whole = ShuffledBatchLoader(data, RANGE, 8, seed=1)
    expected = [epoch(whole, number) for number in (4, 5)]

    stopped = ShuffledBatchLoader(data, RANGE, 8, seed=1)
    epoch(stopped, 3)
    stopped.sampler.set_epoch(4)
    batches = iter(stopped)
    first = [next(batches)[1].tolist() for _ in range(min(num_handed_out, 5))]

    continued = ShuffledBatchLoader(data, RANGE, 8, seed=1)
    continued.load_state_dict(stopped.state_dict())
    iter(continued)  # Lightning asks for an iterator or two that it never uses
    assert len(continued) == 5
    assert first + epoch(continued, 4) == expected[0]
    assert epoch(continued, 5) == expected[1]
    assert epoch(continued, 4) == expected[0]


def test_a_state_of_another_epoch_skips_nothing() -> None:
    loader = ShuffledBatchLoader(numbered(43), RANGE, 8, seed=1)
    expected = epoch(loader, 1)
    loader.load_state_dict({"epoch": 0, "batches": 3})
    assert loader.state_dict() == {"epoch": 0, "batches": 3}
    assert epoch(loader, 1) == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_device_changes_neither_order_nor_pixels() -> None:
    data = numbered(100)
    on_cuda = ImageSet(data.images.cuda(), data.labels.cuda())
    pairs = zip(
        ShuffledBatchLoader(data, RANGE, 8, seed=0),
        ShuffledBatchLoader(on_cuda, RANGE, 8, seed=0),
        strict=True,
    )
    for (x_0, labels), (x_0_cuda, labels_cuda) in pairs:
        assert x_0_cuda.is_cuda
        assert torch.equal(labels_cuda.cpu(), labels)
        torch.testing.assert_close(x_0_cuda.cpu(), x_0)

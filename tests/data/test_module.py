"""The data module: splits, checks, checksum, and what it knows before it has loaded anything."""

import pytest
import torch
from data_support import CountedSource

from thaw.data.loader import ShuffledBatchLoader
from thaw.data.module import ImageDataModule
from thaw.data.sources import MNIST5k
from thaw.pixels import PixelRange


def test_what_a_network_needs_is_known_without_loading() -> None:
    source = CountedSource(50, 20)
    data = ImageDataModule(source, pixel_range=[0, 2])
    assert (data.name, data.image_shape, data.num_classes) == ("counted", (1, 2, 2), 250)
    assert data.pixel_range == PixelRange(0.0, 2.0)
    assert source.num_loads == 0


def test_it_loads_once() -> None:
    source = CountedSource(50, 20)
    data = ImageDataModule(source, batch_size=8)
    data.setup()
    data.setup()
    assert source.num_loads == 1


def test_all_train_and_the_test_images_validate_by_default() -> None:
    data = ImageDataModule(CountedSource(50, 20), batch_size=8)
    data.setup()
    assert data.train_labels.tolist() == list(range(50))
    assert data.val_labels.tolist() == data.test_labels.tolist() == list(range(20))
    assert [len(labels) for _, labels in data.val_dataloader()] == [8, 8, 4]
    assert len(data.train_dataloader()) == 6


def test_held_out_images_are_neither_trained_on_nor_lost() -> None:
    held_out = {}
    for val_size, seed in ((10, 0), (10, 1), (20, 0)):
        data = ImageDataModule(CountedSource(50, 20), 8, val_size, seed=seed)
        data.setup()
        assert len(data.val_labels) == val_size
        assert sorted([*data.train_labels.tolist(), *data.val_labels.tolist()]) == list(range(50))
        assert torch.equal(data.train_images[:, 0, 0, 0], data.train_labels)
        assert torch.equal(data.val_images[:, 0, 0, 0], data.val_labels)
        assert data.test_labels.tolist() == list(range(20))
        held_out[val_size, seed] = set(data.val_labels.tolist())
        shown = [label for _, labels in data.val_dataloader() for label in labels.tolist()]
        assert shown == sorted(held_out[val_size, seed])
    # The run's seed does not choose them, and more of them include the fewer.
    assert held_out[10, 0] == held_out[10, 1] < held_out[20, 0]
    assert held_out[10, 0] != set(range(10))
    assert held_out[10, 0] != set(range(40, 50))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"val_size": -1}, "val_size must be a whole number of at least 0, got -1"),
        ({"pixel_range": (0.5, -0.5)}, "pixel_range must be"),
        ({"source": 5}, "source must be a Source, got 5"),
    ],
)
def test_what_is_wrong_is_refused_before_loading(options, complaint) -> None:
    with pytest.raises(ValueError, match=complaint):
        ImageDataModule(**{"source": CountedSource(50, 20)} | options)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"batch_size": 51}, "data.batch_size=51 is more than the 50 training images of counted"),
        ({"batch_size": 41, "val_size": 10}, "data.batch_size=41 is more than the 40"),
        ({"batch_size": 8, "val_size": 50}, "data.val_size=50 leaves nothing to train on"),
    ],
)
def test_what_does_not_fit_the_images_is_refused_by_setup(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        ImageDataModule(CountedSource(50, 20), **options).setup()
    ImageDataModule(CountedSource(50, 20), batch_size=50).setup()


def test_the_checksum_is_of_all_pixels_and_labels_and_of_nothing_else() -> None:
    def checksum(change: str = "", **options) -> str:
        source = CountedSource(50, 20)
        train, test = source.load()
        if change:
            split, field = change.split(".")
            getattr({"train": train, "test": test}[split], field)[7] += 1
        source.load = lambda: (train, test)
        data = ImageDataModule(source, batch_size=8, **options)
        data.setup()
        return data.checksum

    assert checksum() == checksum(val_size=10, seed=5, pixel_range=(0, 1))
    changes = ("", "train.images", "train.labels", "test.images", "test.labels")
    assert len({checksum(change) for change in changes}) == 5
    assert len(checksum()) == 64


def test_the_embedded_digits_are_the_ones_that_were_looked_at() -> None:
    data = ImageDataModule(MNIST5k())
    data.setup()
    assert data.checksum == "f2a534ee52de82e406e3290d379ecc408f24cab629501ef90cdb037a07ccfb9f"
    assert (len(data.train_dataloader()), len(data.val_dataloader())) == (35, 4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_images_move_to_the_device_once() -> None:
    data = ImageDataModule(CountedSource(50, 20), batch_size=8)
    data.setup()
    loader = data.train_dataloader(torch.device("cuda", 0))
    assert isinstance(loader, ShuffledBatchLoader)
    assert loader.data.images.is_cuda
    assert loader.data.images.dtype == torch.uint8
    assert all(x_0.is_cuda and labels.is_cuda for x_0, labels in loader)

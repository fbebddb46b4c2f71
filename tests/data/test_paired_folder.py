"""Pairs in two folders: which files belong together, their values, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from thaw.data.datasets import PairedFolder
from thaw.data.paired_folder import PairedFolder as Source
from thaw.data.sources import MNIST5k
from thaw.pixels import PixelRange

RANGE = PixelRange(-0.5, 0.5)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "pairs"


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, pixels)
    else:
        Image.fromarray(pixels).save(path)


def write_turned(path: Path, pixels: np.ndarray) -> None:
    """Stored as a camera does that was held upright: turned back by a quarter when it is read."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, exif=exif)


def pair(folder: Path, name: str, clean: np.ndarray, degraded: np.ndarray) -> None:
    write(folder / "clean" / name, clean)
    write(folder / "degraded" / name, degraded)


def grey(value: float, dtype: type = np.uint8, sides: tuple[int, int] = (8, 8)) -> np.ndarray:
    return np.full(sides, value, dtype)


def numbered(folder: Path, numbers: range) -> None:
    """Pairs of n and 100 + n, some of them in a subfolder."""
    for n in numbers:
        pair(folder, f"more/{n}.png" if n % 2 else f"{n}.png", grey(n), grey(100 + n))


def numbers(images: torch.Tensor) -> list[int]:
    """The n of each pair, once it is one."""
    assert images.shape[1:] == (2, 8, 8)
    assert torch.equal(images[:, 1], images[:, 0] + 100)
    return images[:, 0, 0, 0].tolist()


def test_files_of_one_name_are_a_pair_in_each_split(folder: Path) -> None:
    numbered(folder / "Training", range(12))
    numbered(folder / "test_set", range(20, 25))
    train, test = Source(folder, image_size=8).load()
    assert sorted(numbers(train.images)) == [*range(12)]
    assert sorted(numbers(test.images)) == [*range(20, 25)]
    assert numbers(train.images) != [*range(12)]  # a piece of them is as good as a random choice
    assert train.labels.tolist() == [0] * 12


def test_without_splits_the_names_decide_and_further_pairs_change_no_side(folder: Path) -> None:
    numbered(folder, range(40))
    source = Source(folder, image_size=8, test_share=0.25)
    train, test = ({*numbers(each.images)} for each in source.load())
    assert train | test == {*range(40)}
    assert not train & test
    assert 4 <= len(test) <= 16
    numbered(folder, range(40, 60))
    more_train, more_test = ({*numbers(each.images)} for each in source.load())
    assert train <= more_train
    assert test <= more_test


def test_the_folders_of_a_pair_may_have_other_names(folder: Path) -> None:
    for n in range(20):
        write(folder / "gt" / f"{n}.png", grey(n))
        write(folder / "rain" / f"{n}.png", grey(100 + n))
    source = Source(folder, clean="gt", degraded="rain", image_size=8, test_share=0.5)
    assert sum(len(numbers(each.images)) for each in source.load()) == 20


@pytest.mark.parametrize("name", ["a.png", "a.npy"])
def test_every_value_of_16_bits_stays_itself(folder: Path, name: str) -> None:
    values = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    for split in ("train", "test"):
        pair(folder / split, name, values, values[::-1].copy())
    data = PairedFolder(str(folder), image_size=256, value_range=[0, 65535], batch_size=1)
    data.use_partners(True)
    data.setup()
    ((stored, _),) = data.val_dataloader()
    assert stored.dtype == torch.float32
    for image, expected in zip(stored[0], (values, values[::-1]), strict=True):
        found = (image.double() + 0.5) * 65535
        assert np.abs(found.numpy() - expected).max() < 0.02
    assert (data.image_shape, data.stored_shape) == ((1, 256, 256), (2, 256, 256))
    shown = data.shown(data.test_images)
    assert (shown.dtype, shown.shape) == (torch.uint8, (1, 1, 256, 256))
    # The conversion leaves the stored values as they are.
    assert torch.equal(next(iter(data.val_dataloader()))[0], stored)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (grey(1000, np.float32), 127.5),
        (grey(-500, np.int16)[None], 31.875),
        (grey(0.0, np.float64)[..., None], 63.75),
        (grey(9e9, np.float32), 255),  # beyond the range
        (grey(-9e9, np.float32), 0),
    ],
)
def test_arrays_of_numbers_come_to_the_range(
    folder: Path, array: np.ndarray, expected: float
) -> None:
    for split in ("train", "test"):
        pair(folder / split, "a.npy", array, array)
    train, _ = Source(folder, image_size=8, value_range=(-1000, 3000)).load()
    torch.testing.assert_close(train.images, torch.full((1, 2, 8, 8), float(expected)))


def test_floats_in_tiff_and_eight_bits_in_png_are_numbers_too(folder: Path) -> None:
    for split in ("train", "test"):
        pair(folder / split, "a.tif", grey(0.25, np.float32), grey(0.5, np.float32))
        pair(folder / split, "b.png", grey(1), grey(0))
    train, _ = Source(folder, image_size=8, value_range=(0, 1)).load()
    levels = sorted(train.images[:, :, 0, 0].tolist())
    assert levels == [[63.75, 127.5], [255, 0]]


def test_both_of_a_pair_are_resized_and_cropped_alike(folder: Path) -> None:
    digits = MNIST5k().load()[0].images[:2, 0].numpy()
    wide = np.concatenate(list(digits), axis=1)  # 28 x 56
    for split in ("train", "test"):
        pair(folder / split, "a.png", wide, wide)
        pair(folder / split, "b.png", digits[0], digits[0])
    for value_range in (None, (0.0, 255.0)):
        source = Source(folder, image_size=[14, 20], value_range=value_range)
        train, _ = source.load()
        assert train.images.shape == (2, 2, 14, 20)
        assert torch.equal(train.images[:, 0], train.images[:, 1])
        if value_range is None:
            pictures = train.images
    # The same picture, but that Pillow rounds and clips bytes twice, once a direction.
    assert (train.images - pictures.float()).abs().mean() < 0.5


def test_partners_are_compared_as_they_are_seen(folder: Path) -> None:
    digit = MNIST5k().load()[0].images[0, 0, :20].numpy()  # 20 x 28
    for split in ("train", "test"):
        write_turned(folder / split / "clean" / "a.png", np.rot90(digit))
        write(folder / split / "degraded" / "a.png", digit)
    train, _ = Source(folder, image_size=[20, 28]).load()
    assert torch.equal(train.images[:, 0], train.images[:, 1])
    assert train.images.any()


def test_colours_and_the_clean_images_alone(folder: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    for split in ("train", "test"):
        pair(folder / split, "a.png", *colours)
    alone, both = (
        PairedFolder(str(folder), image_size=8, channels=3, batch_size=1) for _ in range(2)
    )
    alone.use_partners(False)
    both.use_partners(True)
    for data in (alone, both):
        data.setup()
    expected = torch.from_numpy(colours).permute(0, 3, 1, 2)
    assert torch.equal(alone.train_images[0], expected[0])
    assert torch.equal(both.train_images[0], expected.reshape(6, 8, 8))
    assert torch.equal(both.shown(both.train_images), alone.train_images)
    assert alone.stored_shape == (3, 8, 8)
    assert alone.checksum == both.checksum


def test_an_augmentation_changes_both_of_a_pair_alike(folder: Path) -> None:
    from torchvision.transforms.v2 import ColorJitter, RandomHorizontalFlip

    digits = MNIST5k().load()[0].images[:40, 0].numpy().astype(np.float32)
    for n, digit in enumerate(digits):
        pair(folder / "train", f"{n}.npy", digit, digit + 7)
    pair(folder / "test", "a.npy", digits[0], digits[0])
    shared = {"image_size": 28, "value_range": [0, 300], "batch_size": 40}
    data = PairedFolder(str(folder), augment=RandomHorizontalFlip(), **shared)
    data.use_partners(True)
    data.setup()
    ((stored, _),) = data.train_dataloader()
    x_0, y = ((stored + 0.5) * 300).unbind(1)
    torch.testing.assert_close(y, x_0 + 7, rtol=0, atol=1e-3)
    ((plain, _),) = PairedFolder.train_dataloader(data, is_shuffled=False)
    unchanged = (stored[:, None] == plain[None]).flatten(2).all(2).any(1)
    assert 5 < unchanged.sum() < 35
    with pytest.raises(ValueError, match=r"augment must take images uint8 \[2, 28, 28\]"):
        PairedFolder(str(folder), image_size=28, augment=ColorJitter(hue=0.1))


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda f: (f / "train/degraded/3.png").unlink(), ["train/clean/3.png has no partner"]),
        (lambda f: (f / "test/clean/21.png").unlink(), ["test/degraded/21.png has no partner"]),
        (
            lambda f: write(f / "train/degraded/2.png", grey(0, sides=(8, 9))),
            ["train/degraded/2.png is 8 x 9", "train/clean/2.png is 8 x 8"],
        ),
        (
            lambda f: write_turned(f / "train/clean/2.png", grey(0, sides=(8, 9))),
            ["train/degraded/2.png is 8 x 8", "train/clean/2.png is 9 x 8"],
        ),
        (lambda f: (f / "train/clean/2.png").write_text("no"), ["train/clean/2.png is not an im"]),
        (
            lambda f: write(f / "train/clean/2.png", grey(9, np.uint16)),
            ["train/clean/2.png", "more than 8 bits a channel", "data.value_range"],
        ),
        (lambda f: (f / "test/degraded").rename(f / "test/other"), ["no folder", "test/degraded"]),
    ],
)
def test_what_does_not_fit_is_one_line_with_the_name_of_the_file(
    folder: Path, spoil, expected: list[str]
) -> None:
    for n in range(4):
        pair(folder / "train", f"{n}.png", grey(n), grey(n))
    for n in (20, 21):
        pair(folder / "test", f"{n}.png", grey(n), grey(n))
    Source(folder, image_size=8).load()
    spoil(folder)
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        Source(folder, image_size=8).load()
    assert len(str(error.value).splitlines()) == 1
    for words in expected:
        assert words in str(error.value)


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (grey(np.nan, np.float32), "not finite"),
        (np.zeros((3, 8, 8), np.float32), "not of one channel"),
        (grey(0, np.complex64), "complex64"),
        (np.zeros((0, 8), np.float32), "array of float32"),
        (np.array([{}]), "objects"),
    ],
)
def test_arrays_that_are_no_image_are_named(folder: Path, array: np.ndarray, why: str) -> None:
    for split in ("train", "test"):
        pair(folder / split, "a.npy", grey(0, np.float32), grey(0, np.float32))
    pair(folder / "train", "b.npy", array, array)
    with pytest.raises(ValueError, match=rf"clean/b\.npy is not an image.*({why})"):
        Source(folder, image_size=8, value_range=(0, 1)).load()


def test_numbers_without_a_range_are_told_of_it(folder: Path) -> None:
    for split in ("train", "test"):
        pair(folder / split, "a.npy", grey(0, np.float32), grey(0, np.float32))
    with pytest.raises(ValueError, match=r"a\.npy is not an image .*takes with data\.value_range"):
        Source(folder, image_size=8).load()


def test_values_are_of_one_channel_and_in_order(folder: Path) -> None:
    with pytest.raises(ValueError, match="value_range is for images of one channel"):
        Source(folder, channels=3, value_range=(0, 1))
    with pytest.raises(ValueError, match=r"value_range must be \[low, high\] with low < high"):
        Source(folder, value_range=(1, 0))
    with pytest.raises(ValueError, match="image_size must be"):
        Source(folder, image_size=[8])

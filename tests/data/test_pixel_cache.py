"""From files to pixels: what is kept, cut, smoothed and refused; the file of pixels and its key."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms.v2 import functional as F

from thaw.data import pixel_cache
from thaw.data.pixel_cache import cached_pixels, mapped, read_image

COLOUR, GREY = (3, 32, 32), (1, 32, 32)


def noise(height: int, width: int, *channels: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, *channels), np.uint8)


def stored(path: Path, array: NDArray[np.uint8], **options: object) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_an_image_of_the_right_size_keeps_its_pixels(tmp_path: Path, suffix: str) -> None:
    colour, grey = noise(32, 32, 3), noise(32, 32)
    read = read_image(stored(tmp_path / f"a.{suffix}", colour), COLOUR)
    assert np.array_equal(read, colour.transpose(2, 0, 1))
    assert np.array_equal(read_image(stored(tmp_path / f"b.{suffix}", grey), GREY), grey[None])


@pytest.mark.parametrize(("height", "width"), [(64, 64), (70, 102), (16, 16)])
def test_resizing_is_torchvisions_antialiased_one(tmp_path: Path, height: int, width: int) -> None:
    array = noise(height, width, 3)
    mine = read_image(stored(tmp_path / "a.png", array), COLOUR)
    side = min(height, width)
    theirs = F.center_crop(torch.from_numpy(array.transpose(2, 0, 1).copy()), [side, side])
    theirs = F.resize(theirs, [32, 32], F.InterpolationMode.BICUBIC, antialias=True)
    # Next to a cut, Pillow knows what lies beyond it.
    edge = 0 if height == width else 3
    kept = (slice(None), slice(edge, 32 - edge), slice(edge, 32 - edge))
    assert np.abs(mine[kept].astype(int) - theirs.numpy()[kept].astype(int)).max() <= 1
    assert mine.shape == COLOUR


def test_what_is_finer_than_a_pixel_becomes_its_mean(tmp_path: Path) -> None:
    checks = (np.indices((128, 128)).sum(0) % 2 * 255).astype(np.uint8)
    pixels = read_image(stored(tmp_path / "checks.png", checks), GREY)
    assert np.abs(pixels.astype(float) - 127.5).max() <= 1.5


@pytest.mark.parametrize("axis", [0, 1])
def test_the_middle_of_a_long_image_is_kept(tmp_path: Path, axis: int) -> None:
    thirds = np.repeat(np.eye(3, dtype=np.uint8) * 255, 40, axis=0)
    array = np.broadcast_to(thirds[:, None], (120, 40, 3))
    path = stored(tmp_path / "a.png", np.ascontiguousarray(array.swapaxes(0, axis)))
    # Without the two rows at each end, into which the cut-off parts reach.
    red, green, blue = read_image(path, COLOUR)[:, 2:-2, 2:-2]
    assert (green == 255).all()
    assert not red.any()
    assert not blue.any()


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    array = np.zeros((32, 32), np.uint8)
    array[:, :16] = 255  # left
    exif = Image.Exif()
    exif[0x0112] = 6  # show it turned by 90 degrees, clockwise
    path = stored(tmp_path / "a.jpg", array, exif=exif.tobytes(), quality=95)
    pixels = read_image(path, GREY)[0]
    assert pixels[:14].min() > 240
    assert pixels[18:].max() < 15


def test_colour_becomes_luma_and_grey_three_equal_channels(tmp_path: Path) -> None:
    colour = noise(32, 32, 3)
    luma = colour @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    grey = read_image(stored(tmp_path / "a.png", colour), GREY)[0]
    assert np.abs(grey - luma).max() <= 1
    three = read_image(stored(tmp_path / "b.png", noise(32, 32)), COLOUR)
    assert (three == three[0]).all()


def test_what_is_transparent_is_seen_on_white(tmp_path: Path) -> None:
    array = noise(32, 32, 4)
    array[..., 3] = np.where(np.arange(32) < 16, 0, 255)
    pixels = read_image(stored(tmp_path / "a.png", array), COLOUR)
    assert (pixels[:, :, :16] == 255).all()
    assert np.array_equal(pixels[:, :, 16:], array[:, 16:, :3].transpose(2, 0, 1))
    palette = Image.fromarray(array[..., :3]).quantize(8)
    palette.save(tmp_path / "b.png", transparency=0)
    hidden = np.asarray(palette) == 0
    assert (read_image(tmp_path / "b.png", COLOUR)[:, hidden] == 255).all()


def first_half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def one_bit_changed(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("a.png", first_half),
        ("a.png", one_bit_changed),
        ("a.jpg", first_half),
        ("a.png", lambda content: b""),
        ("a.png", lambda content: b"label,1\n"),
    ],
)
def test_a_damaged_file_is_refused_by_name(
    tmp_path: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    path = stored(tmp_path / name, noise(64, 64, 3))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="is not an image that can be read") as error:
        read_image(path, COLOUR)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_more_than_eight_bits_are_refused_not_cut_off(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.png", noise(32, 32).astype(np.uint16) * 257)
    with pytest.raises(ValueError, match=r"a\.png .*more than 8 bits a channel"):
        read_image(path, GREY)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    (tmp_path / "pictures").mkdir()
    draw = np.random.default_rng(1)
    return [
        stored(
            tmp_path / "pictures" / f"{number}.png", draw.integers(0, 256, (40, 36, 3), np.uint8)
        )
        for number in range(6)
    ]


@pytest.fixture
def num_read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Grows by each image that is decoded."""
    read: list[Path] = []

    def counted(path: Path, image_shape: tuple[int, int, int]) -> NDArray[np.uint8]:
        read.append(path)
        return read_image(path, image_shape)

    monkeypatch.setattr(pixel_cache, "read_image", counted)
    return read


def test_images_are_in_the_order_of_their_paths_and_decoded_once(
    pictures: list[Path], num_read: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_cache, "AT_ONCE", 4)
    cache = tmp_path / "a" / "cache"
    first = cached_pixels(pictures, pictures[0].parent, COLOUR, cache)
    assert sorted(num_read) == pictures
    expected = np.stack([read_image(path, COLOUR) for path in pictures])
    assert torch.equal(first, torch.from_numpy(expected))
    again = cached_pixels(pictures, pictures[0].parent, COLOUR, cache)
    assert torch.equal(again, first)
    assert len(num_read) == len(pictures)
    (path,) = cache.iterdir()
    assert path.stat().st_size == first.nbytes


@pytest.mark.parametrize("change", ["mtime", "content", "name", "order", "shape", "truncated"])
def test_what_has_changed_is_decoded_again(
    pictures: list[Path], num_read: list[Path], tmp_path: Path, change: str
) -> None:
    root, cache, shape = pictures[0].parent, tmp_path / "cache", COLOUR
    cached_pixels(pictures, root, shape, cache)
    (made,) = cache.iterdir()
    times = pictures[2].stat()
    if change == "mtime":
        os.utime(pictures[2], ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    elif change == "content":
        stored(pictures[2], noise(50, 50, 3))
        os.utime(pictures[2], ns=(times.st_atime_ns, times.st_mtime_ns))
    elif change == "name":
        pictures[2] = pictures[2].rename(root / "other.png")
    elif change == "order":
        pictures.reverse()
    elif change == "shape":
        shape = GREY
    else:
        made.write_bytes(made.read_bytes()[:-1])
    num_read.clear()
    pixels = cached_pixels(pictures, root, shape, cache)
    assert len(num_read) == len(pictures)
    expected = np.stack([read_image(path, shape) for path in pictures])
    assert torch.equal(pixels, torch.from_numpy(expected))


def test_a_folder_elsewhere_with_the_same_files_needs_no_decoding(
    pictures: list[Path], num_read: list[Path], tmp_path: Path
) -> None:
    cached_pixels(pictures, tmp_path / "pictures", COLOUR, tmp_path / "cache")
    moved = tmp_path / "elsewhere" / "pictures"
    moved.parent.mkdir()
    (tmp_path / "pictures").rename(moved)
    num_read.clear()
    cached_pixels([moved / path.name for path in pictures], moved, COLOUR, tmp_path / "cache")
    assert not num_read


def test_all_files_that_are_not_images_are_counted_and_ten_named(
    pictures: list[Path], tmp_path: Path
) -> None:
    bad = [pictures[0].with_name(f"bad_{number:02d}.png") for number in range(12)]
    for path in bad:
        path.write_bytes(b"no image")
    paths = [bad[0], *pictures, *bad[1:]]
    with pytest.raises(ValueError, match="^12 of 18 files cannot be") as error:
        cached_pixels(paths, pictures[0].parent, COLOUR, tmp_path / "cache")
    assert [path for path in bad if str(path) in str(error.value)] == bad[:10]
    assert "\n" not in str(error.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_more_images_than_there_is_memory_are_mapped(tmp_path: Path) -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    num_images = 2 * memory // (3 * 256 * 256)
    path = tmp_path / "large.uint8"
    with path.open("wb") as file:
        file.truncate(num_images * 3 * 256 * 256)  # sparse: it takes no room
        file.seek(-1, os.SEEK_END)
        file.write(b"\x07")
    images = mapped(path, (num_images, 3, 256, 256))
    chosen = images.index_select(0, torch.tensor([0, num_images - 1]))
    assert chosen.sum() == chosen[1, 2, 255, 255] == 7


def test_no_other_program_is_started_to_read_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*arguments: object, **_: object) -> None:
        raise AssertionError(arguments)

    monkeypatch.setattr("subprocess.Popen", started)
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", "gs")
    Image.new("RGB", (8, 8)).save(tmp_path / "x.eps")
    (tmp_path / "x.eps").rename(tmp_path / "x.png")
    with pytest.raises(ValueError, match="cannot identify image file"):
        read_image(tmp_path / "x.png", (3, 8, 8))

"""Images of any size and format as one file of pixels, mapped into memory."""

import functools
import hashlib
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from PIL import ExifTags, Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from thaw import storage
from thaw.pixels import Bounds

log = logging.getLogger(__name__)

VERSION = 1
AT_ONCE = 1024
MAX_NAMED = 10
NUMBERS = "which data=paired_folder takes with data.value_range"
# Orientations from here on are turned by a quarter.
LYING = 5
# Pillow warns from half the largest size that it reads.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def cached_pixels(
    paths: Sequence[Path],
    root: Path,
    image_shape: tuple[int, int, int],
    cache: Path,
    value_range: Bounds | None = None,
) -> Tensor:
    """``[N, C, H, W]``: the images at ``paths`` in that order, mapped from a file.

    They are uint8, of :func:`read_image`; with a ``value_range`` float32, of :func:`read_values`.

    The file is written to ``cache`` the first time, and again where an image's path inside
    ``root``, size or time of change is another; the operating system reads of it what is used and
    drops what memory has no room for.

    Raises:
        ValueError: files are not images that can be read; one line that names them.
        OSError: the file cannot be written.
    """
    dtype = np.dtype(np.uint8 if value_range is None else np.float32)
    key = _key(paths, root, image_shape, value_range)
    path = cache / f"{root.name}-{key}.{dtype}"
    shape = (len(paths), *image_shape)
    if not path.is_file() or path.stat().st_size != math.prod(shape) * dtype.itemsize:
        _write(paths, path, image_shape, value_range)
    return mapped(path, shape, dtype)


def mapped(path: Path, shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> Tensor:
    """A tensor of ``shape``, not to be written to, whose memory is the file.

    torch.from_file maps a file to be written to, which Linux refuses beyond the memory there is.
    """
    with warnings.catch_warnings():
        # That the tensor cannot be written to.
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(np.memmap(path, dtype, "r", shape=shape))


def cache_folder() -> Path:
    """Folder of the pixels that are kept between runs; it may be deleted at any time."""
    return storage.cache_folder("images")


def _key(
    paths: Sequence[Path], root: Path, image_shape: tuple[int, int, int], value_range: Bounds | None
) -> str:
    of_values = () if value_range is None else (tuple(value_range),)
    digest = hashlib.sha256(repr((VERSION, image_shape, *of_values)).encode())
    for path in paths:
        stat = path.stat()
        file = (path.relative_to(root).as_posix(), stat.st_size, stat.st_mtime_ns)
        digest.update(repr(file).encode())
    return digest.hexdigest()[:16]


def _write(
    paths: Sequence[Path], path: Path, image_shape: tuple[int, int, int], value_range: Bounds | None
) -> None:
    """Write every image's pixels, one after the other."""
    storage.make_cache(path.parent, "data.cache, XDG_CACHE_HOME or HOME")
    log.info("reading %d images, once, into %s", len(paths), path)
    # Not through a mapping: on a full disk that kills the process without a word.
    with storage.replacing(path) as unfinished, unfinished.open("wb") as file:
        read = read_images(paths, image_shape, value_range)
        for pixels in tqdm(read, "images", len(paths), unit="image", disable=None):
            file.write(pixels.tobytes())


def read_images(
    paths: Sequence[Path], image_shape: tuple[int, int, int], value_range: Bounds | None = None
) -> Iterator[NDArray[Any]]:
    """The images in order, several decoded at a time, a bounded number held.

    Raises:
        ValueError: after all of them, naming the first ten that cannot be read; see
            :func:`read_image`, and with a ``value_range`` :func:`read_values`.
    """
    problems: list[str] = []
    with ThreadPoolExecutor() as threads:
        for start in range(0, len(paths), AT_ONCE):
            part = paths[start : start + AT_ONCE]
            for result in threads.map(lambda path: _tried(path, image_shape, value_range), part):
                if isinstance(result, str):
                    problems.append(result)
                else:
                    yield result
    if problems:
        all_ = f"{len(problems):,} of {len(paths):,} files cannot be read, among them: "
        raise ValueError((all_ if problems[1:] else "") + "; ".join(problems[:MAX_NAMED]))


def _tried(
    path: Path, image_shape: tuple[int, int, int], value_range: Bounds | None
) -> NDArray[Any] | str:
    try:
        if value_range is None:
            return read_image(path, image_shape)
        return read_values(path, image_shape, value_range)
    except ValueError as error:
        return str(error)


def read_image(path: Path, image_shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """uint8 ``[C, H, W]``: upright, the centre of it, resized with antialiasing (bicubic).

    An image of exactly that size keeps its pixels. What is transparent is seen on white.

    Args:
        path: anything that Pillow reads; the first frame of a moving picture.
        image_shape: (C, H, W), C 1 (luma) or 3 (RGB).

    Raises:
        ValueError: it is damaged, not an image, too large, or of more than 8 bits a channel.
    """
    channels, height, width = image_shape
    try:
        if path.suffix == ".npy":
            raise ValueError(f"numbers, {NUMBERS}")
        with Image.open(path, formats=formats()) as stored:
            image = _plain(ImageOps.exif_transpose(stored), "L" if channels == 1 else "RGB")
        fitted = ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)
    # Pillow's decoders raise nearly anything on a damaged file.
    except Exception as error:
        raise _unreadable(path, error) from error
    return np.asarray(fitted).reshape(height, width, channels).transpose(2, 0, 1)


def read_values(
    path: Path, image_shape: tuple[int, int, int], value_range: Bounds
) -> NDArray[np.float32]:
    """float32 ``[1, H, W]``, 0 to 255 for the ends of ``value_range``, beyond them clipped.

    Centred and resized as by :func:`read_image`; an image of exactly that size keeps its values, of
    which float32 tells 2^24 apart.

    Args:
        path: ``.npy``, ``[H, W]`` or with one channel before or after, or what Pillow reads with
            one channel: PNG and TIFF of 8 or 16 bits, TIFF of floats.
        image_shape: (1, H, W).
        value_range: the numbers in the file that are black and white.

    Raises:
        ValueError: it is damaged, not an image of one channel, or has values that are not finite.
    """
    low, high = value_range
    _, height, width = image_shape
    try:
        levels = (_numbers(path) - low) * (255 / (high - low))
        if not np.isfinite(levels).all():
            raise ValueError("it has values that are not finite")
        image = Image.fromarray(levels.clip(0, 255).astype(np.float32))
        fitted = ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)
    except Exception as error:
        raise _unreadable(path, error) from error
    # Bicubic curves overshoot.
    return np.asarray(fitted).clip(0, 255)[np.newaxis]


def _numbers(path: Path) -> NDArray[np.float64]:
    """The numbers in a file, float64 ``[H, W]``."""
    if path.suffix == ".npy":
        numbers = np.load(path, allow_pickle=False)
        if numbers.dtype.kind not in "iuf" or not numbers.size:
            raise ValueError(f"an array of {numbers.dtype} {list(numbers.shape)}")
        plane = numbers.reshape(plane_of(numbers.shape))
    else:
        with Image.open(path, formats=formats()) as stored:
            if stored.mode != "L" and stored.mode[0] not in "IF":
                raise ValueError(f"mode {stored.mode}: not numbers of one channel")
            plane = np.asarray(ImageOps.exif_transpose(stored))
    numbers_as_doubles: NDArray[np.float64] = plane.astype(np.float64)
    return numbers_as_doubles


def plane_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """(H, W) of an array ``[H, W]``, ``[1, H, W]`` or ``[H, W, 1]``."""
    sides = shape[1:] if len(shape) == 3 and shape[0] == 1 else shape
    sides = sides[:2] if len(sides) == 3 and sides[2] == 1 else sides
    if len(sides) != 2:
        raise ValueError(f"an array {list(shape)}: not of one channel, [H, W]")
    return sides[0], sides[1]


def size_of(path: Path) -> tuple[int, int]:
    """(H, W) of an image file as it is read, upright, from its first bytes.

    Raises:
        ValueError: it is damaged, or not an image.
    """
    try:
        if path.suffix == ".npy":
            return plane_of(np.load(path, mmap_mode="r", allow_pickle=False).shape)
        with Image.open(path, formats=formats()) as stored:
            # That of a PNG would decode all of it.
            exif = Image.Image.getexif(stored)
            lies = exif.get(ExifTags.Base.Orientation, 1) >= LYING
            return (stored.width, stored.height) if lies else (stored.height, stored.width)
    except Exception as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ValueError:
    why = " ".join(str(error).split()) or type(error).__name__
    return ValueError(
        f"{path} is not an image that can be read ({why}): repair it or take it out of the folder"
    )


@functools.cache
def formats() -> tuple[str, ...]:
    """All that Pillow reads by itself, which leaves out PostScript."""
    Image.init()
    return tuple(name for name in Image.ID if name != "EPS")


def _plain(image: Image.Image, mode: str) -> Image.Image:
    """In ``mode``, without transparency."""
    if image.mode[0] in "IF":
        # Pillow would cut these off at 255.
        raise ValueError(f"mode {image.mode}: more than 8 bits a channel, {NUMBERS}")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)

"""Images of any size and format as one file of uint8 pixels, mapped into memory."""

import functools
import hashlib
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from thaw import storage

log = logging.getLogger(__name__)

VERSION = 1
AT_ONCE = 1024
MAX_NAMED = 10
# Pillow warns from half the largest size that it reads.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def cached_pixels(
    paths: Sequence[Path], root: Path, image_shape: tuple[int, int, int], cache: Path
) -> Tensor:
    """uint8 ``[N, C, H, W]``: the images at ``paths`` in that order, mapped from a file.

    The file is written to ``cache`` the first time, and again where an image's path inside
    ``root``, size or time of change is another; the operating system reads of it what is used and
    drops what memory has no room for.

    Raises:
        ValueError: files are not images that can be read; one line that names them.
        OSError: the file cannot be written.
    """
    path = cache / f"{root.name}-{_key(paths, root, image_shape)}.uint8"
    shape = (len(paths), *image_shape)
    if not path.is_file() or path.stat().st_size != math.prod(shape):
        _write(paths, path, image_shape)
    return mapped(path, shape)


def mapped(path: Path, shape: tuple[int, ...]) -> Tensor:
    """uint8 of ``shape``, not to be written to, whose memory is the file.

    torch.from_file maps a file to be written to, which Linux refuses beyond the memory there is.
    """
    with warnings.catch_warnings():
        # That the tensor cannot be written to.
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(np.memmap(path, np.uint8, "r", shape=shape))


def cache_folder() -> Path:
    """Folder of the pixels that are kept between runs; it may be deleted at any time."""
    return storage.cache_folder("images")


def _key(paths: Sequence[Path], root: Path, image_shape: tuple[int, int, int]) -> str:
    digest = hashlib.sha256(repr((VERSION, image_shape)).encode())
    for path in paths:
        stat = path.stat()
        file = (path.relative_to(root).as_posix(), stat.st_size, stat.st_mtime_ns)
        digest.update(repr(file).encode())
    return digest.hexdigest()[:16]


def _write(paths: Sequence[Path], path: Path, image_shape: tuple[int, int, int]) -> None:
    """Write every image's pixels, one after the other."""
    storage.make_cache(path.parent, "data.cache, XDG_CACHE_HOME or HOME")
    log.info("reading %d images, once, into %s", len(paths), path)
    # Not through a mapping: on a full disk that kills the process without a word.
    with storage.replacing(path) as unfinished, unfinished.open("wb") as file:
        read = read_images(paths, image_shape)
        for pixels in tqdm(read, "images", len(paths), unit="image", disable=None):
            file.write(pixels.tobytes())


def read_images(
    paths: Sequence[Path], image_shape: tuple[int, int, int]
) -> Iterator[NDArray[np.uint8]]:
    """The images in order, several decoded at a time, a bounded number held.

    Raises:
        ValueError: after all of them, naming the first ten that cannot be read; see
            :func:`read_image`.
    """
    problems: list[str] = []
    with ThreadPoolExecutor() as threads:
        for start in range(0, len(paths), AT_ONCE):
            part = paths[start : start + AT_ONCE]
            for result in threads.map(lambda path: _tried(path, image_shape), part):
                if isinstance(result, str):
                    problems.append(result)
                else:
                    yield result
    if problems:
        all_ = f"{len(problems):,} of {len(paths):,} files cannot be read, among them: "
        raise ValueError((all_ if problems[1:] else "") + "; ".join(problems[:MAX_NAMED]))


def _tried(path: Path, image_shape: tuple[int, int, int]) -> NDArray[np.uint8] | str:
    try:
        return read_image(path, image_shape)
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
        with Image.open(path, formats=_formats()) as stored:
            image = _plain(ImageOps.exif_transpose(stored), "L" if channels == 1 else "RGB")
        fitted = ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)
    # Pillow's decoders raise nearly anything on a damaged file.
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{path} is not an image that can be read ({why}): repair it or take it out of the "
            "folder"
        ) from error
    return np.asarray(fitted).reshape(height, width, channels).transpose(2, 0, 1)


@functools.cache
def _formats() -> tuple[str, ...]:
    """All that Pillow reads by itself, which leaves out PostScript."""
    Image.init()
    return tuple(name for name in Image.ID if name != "EPS")


def _plain(image: Image.Image, mode: str) -> Image.Image:
    """In ``mode``, without transparency."""
    if image.mode[0] in "IF":
        # Pillow would cut these off at 255.
        raise ValueError(f"mode {image.mode}: more than 8 bits a channel")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)

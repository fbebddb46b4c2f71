"""Reading the MNIST family's idx files, plain or gzipped, and refusing damaged ones by name."""

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np
import torch
from torch import Tensor

UNSIGNED_BYTE = 0x08
# Twenty times MNIST.
LARGEST_BYTES = 2**30


def read_idx(path: Path, num_dims: int, *, file_md5: str | None, content_md5: str | None) -> Tensor:
    """The array of one idx file of unsigned bytes (format: LeCun, Cortes and Burges, 1998).

    Args:
        path: the file; a name that ends in ``.gz`` is decompressed.
        num_dims: 3 for images, 1 for labels.
        file_md5: MD5 of the file as it stands, where known.
        content_md5: MD5 of the uncompressed content, where known.

    Returns:
        uint8, of the shape that the file's header states.

    Raises:
        ValueError: the file is damaged; the message names it and what is wrong with it.
    """
    if file_md5 is not None:
        with path.open("rb") as stored:
            _compare(path, hashlib.file_digest(stored, "md5").hexdigest(), file_md5)
    with _opened(path) as content:
        header, shape = _read_header(path, content, num_dims)
        body = _read(path, content, math.prod(shape) + 1)
    expected = len(header) + math.prod(shape)
    found = len(header) + len(body)
    if found != expected:
        more = " or more" if found > expected else ""
        raise damaged(path, f"it holds {found:,} bytes{more}, its header promises {expected:,}")
    # After the structure, whose complaint says more than two checksums that differ.
    if content_md5 is not None:
        check_md5(path, header + body, content_md5)
    # The copy: a tensor over Python's immutable bytes could be written to.
    return torch.from_numpy(np.frombuffer(body, np.uint8).reshape(shape).copy())


def damaged(path: Path, why: str) -> ValueError:
    """The one-line error for a file that must not be trained on."""
    return ValueError(f"{path} is damaged: {why}; delete it or put the original in its place")


def check_md5(path: Path, content: bytes, expected: str) -> None:
    """Raise the one-line error unless ``content``, what ``path`` holds, has this MD5."""
    _compare(path, hashlib.md5(content, usedforsecurity=False).hexdigest(), expected)


def _compare(path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise damaged(path, f"its content has MD5 {found}, not {expected}")


def _opened(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _read_header(path: Path, content: IO[bytes], num_dims: int) -> tuple[bytes, tuple[int, ...]]:
    """The bytes before the array, and the shape that they state."""
    magic = bytes([0, 0, UNSIGNED_BYTE, num_dims])
    length = len(magic) + 4 * num_dims
    header = _read(path, content, length)
    if header[:4] != magic:
        raise damaged(path, f"it starts with [{header[:4].hex(' ')}], not [{magic.hex(' ')}]")
    if len(header) < length:
        raise damaged(path, f"its header ends after {len(header)} of {length} bytes")
    shape = struct.unpack_from(f">{num_dims}I", header, len(magic))
    if math.prod(shape) > LARGEST_BYTES:
        raise damaged(path, f"its header promises {math.prod(shape):,} bytes of pixels")
    return header, shape


def _read(path: Path, content: IO[bytes], num_bytes: int) -> bytes:
    """No more than ``num_bytes``, however much there is or would unpack to."""
    try:
        return content.read(num_bytes)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise damaged(path, f"it does not decompress ({error})") from error

"""Reading the MNIST family's idx files, plain or gzipped, and refusing damaged ones by name."""

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

UNSIGNED_BYTE = 0x08


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
    stored = path.read_bytes()
    if file_md5 is not None:
        check_md5(path, stored, file_md5)
    content = _gunzip(path, stored) if path.suffix == ".gz" else stored
    array = _parse(path, content, num_dims)
    # After the structure, whose complaint says more than two checksums that differ.
    if content_md5 is not None:
        check_md5(path, content, content_md5)
    return array


def damaged(path: Path, why: str) -> ValueError:
    """The one-line error for a file that must not be trained on."""
    return ValueError(f"{path} is damaged: {why}; delete it or put the original in its place")


def check_md5(path: Path, content: bytes, expected: str) -> None:
    """Raise the one-line error unless ``content``, what ``path`` holds, has this MD5."""
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != expected:
        raise damaged(path, f"its content has MD5 {found}, not {expected}")


def _parse(path: Path, content: bytes, num_dims: int) -> Tensor:
    magic = bytes([0, 0, UNSIGNED_BYTE, num_dims])
    if content[:4] != magic:
        raise damaged(path, f"it starts with [{content[:4].hex(' ')}], not [{magic.hex(' ')}]")
    header = len(magic) + 4 * num_dims
    if len(content) < header:
        raise damaged(path, f"its header ends after {len(content)} of {header} bytes")
    shape = struct.unpack_from(f">{num_dims}I", content, len(magic))
    expected = header + math.prod(shape)
    if len(content) != expected:
        raise damaged(path, f"it holds {len(content):,} bytes, its header promises {expected:,}")
    # The copy: a tensor over Python's immutable bytes could be written to.
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy())


def _gunzip(path: Path, stored: bytes) -> bytes:
    try:
        return gzip.decompress(stored)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise damaged(path, f"it does not decompress ({error})") from error

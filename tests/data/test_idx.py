"""Reading idx files: what is right is read, what is damaged is refused by its name in one line."""

import gzip
import hashlib
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from thaw.data.idx import read_idx

ARRAY = torch.arange(3 * 4 * 5, dtype=torch.uint8).reshape(3, 4, 5)
CONTENT = bytes([0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, *range(60)])


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_reads_plain_and_gzipped(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"images{suffix}"
    stored = gzip.compress(CONTENT) if suffix else CONTENT
    path.write_bytes(stored)
    array = read_idx(path, 3, file_md5=md5(stored), content_md5=md5(CONTENT))
    assert torch.equal(array, ARRAY)


@pytest.mark.filterwarnings("error")  # torch warns of memory that must not be written to
def test_the_tensor_has_memory_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "images").write_bytes(CONTENT)
    array = read_idx(tmp_path / "images", 3, file_md5=None, content_md5=None)
    array += 1
    assert torch.equal(array, ARRAY + 1)


def flipped(content: bytes, position: int) -> bytes:
    changed = bytearray(content)
    changed[position] ^= 1
    return bytes(changed)


@pytest.mark.parametrize(
    ("damage", "suffix", "complaint"),
    [
        (lambda content: content[:-1], "", "it holds 75 bytes, its header promises 76"),
        (lambda content: content + b"\0", "", "it holds 77 bytes or more, its header promises 76"),
        (lambda content: content[:10], "", "its header ends after 10 of 16 bytes"),
        (lambda content: b"", "", r"it starts with \[\], not \[00 00 08 03\]"),
        (lambda content: flipped(content, 3), "", r"starts with \[00 00 08 02\]"),
        (lambda content: flipped(content, 2), "", r"starts with \[00 00 09 03\]"),
        (lambda content: b"<!DOCTYPE html>", "", r"starts with \[3c 21 44 4f\]"),
        (lambda content: flipped(content, 40), "", "its content has MD5 .*, not " + md5(CONTENT)),
        (lambda content: gzip.compress(content)[:-10], ".gz", "it does not decompress"),
        (lambda content: flipped(gzip.compress(content), -6), ".gz", "it does not decompress"),
        (lambda content: gzip.compress(content)[:10] + b"\xff" * 30, ".gz", "does not decompress"),
        (lambda content: content, ".gz", "it does not decompress"),
        (lambda content: gzip.compress(flipped(content, 40)), ".gz", "its content has MD5"),
    ],
)
def test_refuses_damage_by_name_in_one_line(
    tmp_path: Path, damage: Callable[[bytes], bytes], suffix: str, complaint: str
) -> None:
    path = tmp_path / f"images{suffix}"
    path.write_bytes(damage(CONTENT))
    with pytest.raises(ValueError, match=complaint) as error:
        read_idx(path, 3, file_md5=None, content_md5=md5(CONTENT))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_header_that_promises_terabytes_is_refused_before_they_are_asked_for(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"images{suffix}"
    content = CONTENT[:4] + b"\xff" * 12 + bytes(100)
    path.write_bytes(gzip.compress(content) if suffix else content)
    with pytest.raises(ValueError, match=r"its header promises 79,228,162,458,924,1") as error:
        read_idx(path, 3, file_md5=None, content_md5=None)
    assert str(path) in str(error.value)


def test_a_gz_is_unpacked_no_further_than_its_header_says(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(CONTENT)
        for _ in range(64):
            file.write(bytes(2**20))
    tracemalloc.start()
    with pytest.raises(ValueError, match="it holds 77 bytes or more, its header promises 76"):
        read_idx(path, 3, file_md5=None, content_md5=None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**22


def test_the_files_own_checksum_is_checked_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(CONTENT))
    with pytest.raises(ValueError, match=r"MD5 .*, not 00ff"):
        read_idx(path, 3, file_md5="00ff", content_md5=None)

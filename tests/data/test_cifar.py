"""CIFAR-10 against torchvision on small files in its format: read, unpacked, fetched, refused."""

import hashlib
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from data_support import leftovers
from numpy.typing import NDArray

from thaw.data import download
from thaw.data.cifar import CIFAR10

BASE = "cifar-10-batches-py"
PACKED = "cifar-10-python.tar.gz"
TRAIN = [f"data_batch_{number}" for number in range(1, 6)]
FILES = [*TRAIN, "test_batch"]
Archive = type[torchvision.datasets.CIFAR10]


def text(value: bytes) -> bytes:
    """A string of Python 2 as its pickle spells it."""
    return b"T" + struct.pack("<I", len(value)) + value


def small(number: int) -> bytes:
    return b"K" + bytes([number])


def python2_pickle(pixels: NDArray[np.uint8], labels: list[int]) -> bytes:
    """What cPickle of Python 2 made of {"data": pixels, "labels": labels}, opcode by opcode."""
    byte_type = b"cnumpy\ndtype\n(" + text(b"u1") + small(0) + small(1) + b"tR"
    byte_type += b"(" + small(3) + text(b"|") + b"NNN" + b"J\xff\xff\xff\xff" * 2 + small(0) + b"tb"
    shape = b"".join(b"J" + struct.pack("<i", size) for size in pixels.shape)
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(" + small(0) + b"t"
    array += text(b"b") + b"tR(" + small(1) + b"(" + shape + b"t" + byte_type + b"I00\n"
    array += text(pixels.tobytes()) + b"tb"
    numbers = b"](" + b"".join(map(small, labels)) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + numbers + b"u."


def meta_pickle() -> bytes:
    names = b"](" + b"".join(text(f"class {label}".encode()) for label in range(10)) + b"e"
    return b"\x80\x02}(" + text(b"label_names") + names + b"u."


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def contents() -> dict[str, bytes]:
    """Six files of 20 images each."""
    draw = np.random.default_rng(0)
    return {
        name: python2_pickle(
            draw.integers(0, 256, (20, 3072), np.uint8), draw.integers(0, 10, 20).tolist()
        )
        for name in FILES
    }


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch, contents: dict[str, bytes]) -> Archive:
    """torchvision's CIFAR10 with the small files' checksums in place of the published ones'."""

    class Small(torchvision.datasets.CIFAR10):
        train_list = [[name, md5(contents[name])] for name in TRAIN]  # noqa: RUF012
        test_list = [["test_batch", md5(contents["test_batch"])]]  # noqa: RUF012
        meta = torchvision.datasets.CIFAR10.meta | {"md5": md5(meta_pickle())}

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", Small)
    monkeypatch.setattr(download, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setenv("no_proxy", "*")
    return Small


@pytest.fixture
def root(tmp_path: Path, archive: Archive, contents: dict[str, bytes]) -> Path:
    """A folder with the six files and torchvision's seventh."""
    folder = tmp_path / "root" / BASE
    folder.mkdir(parents=True)
    for name, content in (contents | {"batches.meta": meta_pickle()}).items():
        (folder / name).write_bytes(content)
    return folder.parent


@pytest.fixture
def packed(root: Path, archive: Archive, tmp_path: Path) -> bytes:
    """The files as they are published."""
    with tarfile.open(tmp_path / PACKED, "w:gz") as tar:
        tar.add(root / BASE, BASE)
    content = (tmp_path / PACKED).read_bytes()
    archive.tgz_md5 = md5(content)
    return content


def test_the_images_are_those_that_torchvision_reads(root: Path, archive: Archive) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    for mine, is_train, size in zip(CIFAR10(root).load(), (True, False), (100, 20), strict=True):
        theirs = archive(root, train=is_train)
        assert (mine.images.dtype, mine.labels.dtype) == (torch.uint8, torch.int64)
        assert mine.images.shape == (size, 3, 32, 32)
        assert torch.equal(mine.images, torch.from_numpy(theirs.data).permute(0, 3, 1, 2))
        assert mine.labels.tolist() == theirs.targets
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_a_damaged_file_is_refused_by_name(root: Path) -> None:
    path = root / BASE / "data_batch_3"
    content = path.read_bytes()
    path.write_bytes(content[:500] + bytes([content[500] ^ 1]) + content[501:])
    with pytest.raises(ValueError, match="is damaged: its MD5 is not") as error:
        CIFAR10(root).load()
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("global_name", ["posix\nsystem", "builtins\neval"])
def test_nothing_in_a_file_is_executed_even_with_the_right_checksum(
    root: Path, archive: Archive, tmp_path: Path, global_name: str
) -> None:
    trace = tmp_path / "executed"
    command = f"touch {trace}" if "posix" in global_name else f"open({str(trace)!r}, 'w')"
    content = f"c{global_name}\n(S{command!r}\ntR.".encode()
    (root / BASE / "test_batch").write_bytes(content)
    archive.test_list = [["test_batch", md5(content)]]
    named = global_name.replace("\n", ".")
    with pytest.raises(ValueError, match=f"test_batch is damaged: it names {named}, which is not"):
        CIFAR10(root).load()
    assert not trace.exists()


def test_an_archive_that_is_there_is_unpacked_once(
    root: Path, packed: bytes, tmp_path: Path
) -> None:
    new = tmp_path / "new"
    new.mkdir()
    (new / PACKED).write_bytes(packed)
    for mine, theirs in zip(CIFAR10(new).load(), CIFAR10(root).load(), strict=True):
        assert torch.equal(mine.images, theirs.images)
        assert torch.equal(mine.labels, theirs.labels)
    assert leftovers(new) == sorted([PACKED, *(f"{BASE}/{name}" for name in FILES)])
    (new / PACKED).unlink()
    CIFAR10(new).load()

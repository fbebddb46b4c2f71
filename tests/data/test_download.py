"""Downloading, against servers of our own that are right, gone, silent, slow or cut short."""

import gzip
import hashlib
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torchvision
from data_support import IDX_NAMES, leftovers, write_family

from thaw.data import download
from thaw.data.sources import KMNIST

Serve = Callable[[Callable[[str], bytes | None]], str]


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """KMNIST as published: four small .gz files, their MD5s, and mirrors for a test to fill in."""
    arrays = write_family(tmp_path / "published")
    contents = {
        f"{name}.gz": gzip.compress((tmp_path / "published" / name).read_bytes()) for name in arrays
    }
    archive = SimpleNamespace(
        resources=[(name, hashlib.md5(data).hexdigest()) for name, data in contents.items()],
        mirrors=[],
        contents=contents,
        arrays=arrays,
    )
    monkeypatch.setattr(torchvision.datasets, "KMNIST", archive)
    monkeypatch.setattr(download, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setenv("no_proxy", "*")
    return archive


def test_the_first_mirror_that_answers_is_used(
    tmp_path: Path,
    archive: SimpleNamespace,
    serve: Serve,
    closed_mirror: str,
    silent_mirror: str,
) -> None:
    archive.mirrors = [closed_mirror, silent_mirror, serve(archive.contents.get)]
    root = tmp_path / "new" / "root"
    for split, prefix in zip(KMNIST(root).load(), ("train", "t10k"), strict=True):
        assert torch.equal(split.images[:, 0], archive.arrays[f"{prefix}-images-idx3-ubyte"])
        assert torch.equal(split.labels, archive.arrays[f"{prefix}-labels-idx1-ubyte"])
    names = [*IDX_NAMES, *archive.contents]
    assert leftovers(root) == sorted(f"KMNIST/raw/{name}" for name in names)
    archive.mirrors = []
    KMNIST(root).load()


def test_only_what_is_missing_is_downloaded(
    tmp_path: Path, archive: SimpleNamespace, serve: Serve
) -> None:
    folder = tmp_path / "KMNIST" / "raw"
    write_family(folder)
    (folder / IDX_NAMES[0]).unlink()
    (folder / IDX_NAMES[1]).unlink()
    packed = f"{IDX_NAMES[1]}.gz"
    (folder / packed).write_bytes(archive.contents[packed])
    asked = set()

    def answer(name: str) -> bytes:
        asked.add(name)
        return bytes(archive.contents[name])

    archive.mirrors = [serve(answer)]
    KMNIST(tmp_path).load()
    assert asked == {f"{IDX_NAMES[0]}.gz"}


@pytest.mark.parametrize("spoil", [lambda data: data[:-20], lambda data: data + b"!"])
def test_a_partial_or_altered_download_is_never_kept(
    tmp_path: Path, archive: SimpleNamespace, serve: Serve, spoil: Callable[[bytes], bytes]
) -> None:
    last = archive.resources[-1][0]
    wrong = archive.contents | {last: spoil(archive.contents[last])}
    archive.mirrors = [serve(wrong.get)]
    root = tmp_path / "root"
    with pytest.raises(FileNotFoundError, match=r"lacks t10k-labels-idx1-ubyte, .*corrupted"):
        KMNIST(root).load()
    assert not [name for name in leftovers(root) if "t10k-labels" in name]
    archive.mirrors.append(serve(archive.contents.get))
    KMNIST(root).load()


def test_a_mirror_that_stalls_half_way_is_given_up(
    tmp_path: Path, archive: SimpleNamespace, serve: Serve
) -> None:
    asked = []

    def stall(name: str) -> bytes:
        asked.append(name)
        if len(asked) > 2:
            time.sleep(4)
        return bytes(archive.contents[name])

    archive.mirrors = [serve(stall)]
    start = time.monotonic()
    with pytest.raises(FileNotFoundError, match="timed out"):
        KMNIST(tmp_path / "root").load()
    assert time.monotonic() - start < 4  # it did not wait for the answer
    assert socket.getdefaulttimeout() is None


def test_without_a_network_one_line_says_what_was_tried_and_the_ways_out(
    tmp_path: Path, archive: SimpleNamespace, serve: Serve, closed_mirror: str, silent_mirror: str
) -> None:
    archive.mirrors = [closed_mirror, silent_mirror, serve(lambda name: None)]
    start = time.monotonic()
    with pytest.raises(FileNotFoundError) as error:
        KMNIST(tmp_path / "root").load()
    assert time.monotonic() - start < 20  # what the message is promised within
    message = str(error.value)
    assert "\n" not in message
    for mirror, reason in zip(archive.mirrors, ("refused", "timed out", "Not Found"), strict=True):
        assert reason in message.split(f"{mirror} (")[1].split(")")[0]
    assert "set THAW_DATA to a folder that holds KMNIST/raw/" in message
    assert f"{IDX_NAMES[0]}.gz in {tmp_path / 'root' / 'KMNIST' / 'raw'}" in message
    assert "data=mnist_5k" in message
    assert leftovers(tmp_path / "root") == []


def test_nothing_is_fetched_where_it_is_not_allowed(
    tmp_path: Path, archive: SimpleNamespace, serve: Serve
) -> None:
    archive.mirrors = [serve(archive.contents.get)]
    source = KMNIST(tmp_path / "root")
    source.may_fetch = False
    with pytest.raises(FileNotFoundError, match="only a folder named by THAW_DATA"):
        source.load()
    assert not (tmp_path / "root").exists()

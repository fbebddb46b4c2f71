"""Downloading, against servers of our own that are right, gone, silent, slow or cut short."""

import gzip
import hashlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from thaw.data import download
from thaw.data.sources import KMNIST

WriteFamily = Callable[..., dict[str, Tensor]]


@pytest.fixture
def archive(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, write_family: WriteFamily
) -> SimpleNamespace:
    """KMNIST as published: four small .gz files, their MD5s, and mirrors for a test to fill in."""
    arrays = write_family(tmp_path / "published", zipped=True)
    contents = {path.name: path.read_bytes() for path in (tmp_path / "published").iterdir()}
    archive = SimpleNamespace(
        __name__="KMNIST",
        resources=[(name, hashlib.md5(data).hexdigest()) for name, data in contents.items()],
        mirrors=[],
        contents=contents,
        arrays=arrays,
    )
    monkeypatch.setattr(KMNIST, "archive", archive)
    monkeypatch.setattr(download, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setenv("no_proxy", "*")
    return archive


def leftovers(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_the_first_mirror_that_answers_is_used(
    tmp_path: Path,
    archive: SimpleNamespace,
    serve: Callable[..., str],
    closed_mirror: str,
    silent_mirror: str,
) -> None:
    archive.mirrors = [closed_mirror, silent_mirror, serve(archive.contents.get)]
    root = tmp_path / "new" / "root"
    train, test = KMNIST(root).load()
    for split, prefix in ((train, "train"), (test, "t10k")):
        assert torch.equal(split.images[:, 0], archive.arrays[f"{prefix}-images-idx3-ubyte"])
        assert torch.equal(split.labels, archive.arrays[f"{prefix}-labels-idx1-ubyte"])
    assert leftovers(root) == sorted(f"KMNIST/raw/{name}" for name in archive.contents)
    archive.mirrors = []
    KMNIST(root).load()


def test_only_what_is_missing_is_downloaded(
    tmp_path: Path, archive: SimpleNamespace, serve: Callable[..., str]
) -> None:
    folder = tmp_path / "KMNIST" / "raw"
    folder.mkdir(parents=True)
    names = sorted(archive.contents)
    for name in names[:3]:
        (folder / name.removesuffix(".gz")).write_bytes(gzip.decompress(archive.contents[name]))
    asked = set()

    def answer(name: str) -> bytes:
        asked.add(name)
        return bytes(archive.contents[name])

    archive.mirrors = [serve(answer)]
    KMNIST(tmp_path).load()
    assert asked == {names[3]}


@pytest.mark.parametrize("spoil", [lambda data: data[:-20], lambda data: data + b"!"])
def test_a_partial_or_altered_download_is_never_kept(
    tmp_path: Path,
    archive: SimpleNamespace,
    serve: Callable[..., str],
    spoil: Callable[[bytes], bytes],
) -> None:
    last = archive.resources[-1][0]
    archive.mirrors = [
        serve(
            lambda name: spoil(archive.contents[name]) if name == last else archive.contents[name]
        )
    ]
    root = tmp_path / "root"
    with pytest.raises(FileNotFoundError, match=f"{last}: .*corrupted"):
        KMNIST(root).load()
    assert leftovers(root) == sorted(
        f"KMNIST/raw/{name}" for name in archive.contents if name != last
    )
    archive.mirrors.append(serve(archive.contents.get))
    KMNIST(root).load()


def test_a_mirror_that_stalls_half_way_is_given_up(
    tmp_path: Path, archive: SimpleNamespace, serve: Callable[..., str]
) -> None:
    asked = []

    def stall(name: str) -> bytes:
        asked.append(name)
        if len(asked) > 1:
            time.sleep(8)
        return bytes(archive.contents[name])

    archive.mirrors = [serve(stall)]
    start = time.monotonic()
    with pytest.raises(FileNotFoundError, match="timed out"):
        KMNIST(tmp_path / "root").load()
    assert time.monotonic() - start < 8  # it did not wait for the answer
    assert socket.getdefaulttimeout() is None


def test_without_a_network_one_line_says_what_was_tried_and_the_ways_out(
    tmp_path: Path,
    archive: SimpleNamespace,
    serve: Callable[..., str],
    closed_mirror: str,
    silent_mirror: str,
) -> None:
    archive.mirrors = [closed_mirror, silent_mirror, serve(lambda name: None)]
    root = tmp_path / "root"
    start = time.monotonic()
    with pytest.raises(FileNotFoundError) as error:
        KMNIST(root).load()
    assert time.monotonic() - start < 20  # what the message is promised within
    message = str(error.value)
    assert "\n" not in message
    reasons = ("refused", "timed out|no answer", "Not Found")
    for mirror, reason in zip(archive.mirrors, reasons, strict=True):
        tried = message.split(f"{mirror} (")[1].split(")")[0]
        assert any(word in tried for word in reason.split("|"))
    assert "set THAW_DATA to a folder that holds KMNIST/raw/" in message
    assert f"place those files, plain or as .gz, in {root / 'KMNIST' / 'raw'}" in message
    assert "data=mnist_5k" in message
    assert not root.exists()


def test_a_root_that_cannot_be_made_is_part_of_the_same_line(
    tmp_path: Path, archive: SimpleNamespace, serve: Callable[..., str]
) -> None:
    archive.mirrors = [serve(archive.contents.get)]
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(FileNotFoundError, match=r"Not a directory.*Three ways out"):
        KMNIST(tmp_path / "file" / "below").load()


SILENT_NAME_SERVER = """
import socket, sys, time
import torchvision
from thaw.data.sources import MNIST
socket.getaddrinfo = lambda *_, **__: time.sleep(60)
torchvision.datasets.MNIST.mirrors = ["https://mirror.invalid/", "http://other.invalid/"]
print(time.monotonic(), flush=True)
try:
    MNIST(sys.argv[1]).load()
except FileNotFoundError as error:
    print(error)
"""


def test_a_silent_name_server_holds_up_neither_the_message_nor_the_exit(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SILENT_NAME_SERVER, str(tmp_path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=50).stdout
    end = time.monotonic()
    start, message = output.splitlines()
    assert "https://mirror.invalid/ (no answer within 3 s)" in message
    assert "Three ways out" in message
    assert end - float(start) < 20  # what the message is promised within; 3 s on an idle machine

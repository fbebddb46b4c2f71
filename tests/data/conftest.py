"""What the data tests share: small sources, files written by hand, servers to download from."""

import gzip
import socket
import struct
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
from torch import Tensor

from thaw.data.sources import ImageSet


def idx_bytes(array: Tensor) -> bytes:
    """The idx format, written independently of the code that reads it."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + bytes(array.flatten().tolist())


@pytest.fixture
def write_family() -> Callable[..., dict[str, Tensor]]:
    """Writes the four files of a small data set into a folder, plain or gzipped."""

    def write(folder: Path, zipped: bool = False, side: int = 28) -> dict[str, Tensor]:
        random = torch.Generator().manual_seed(0)
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {}
        for prefix, num_images in (("train", 30), ("t10k", 20)):
            images = torch.randint(0, 256, (num_images, side, side), generator=random)
            arrays[f"{prefix}-images-idx3-ubyte"] = images.to(torch.uint8)
            arrays[f"{prefix}-labels-idx1-ubyte"] = torch.arange(num_images).remainder(10)
        for name, array in arrays.items():
            content = idx_bytes(array)
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
        return arrays

    return write


class CountedSource:
    """Images that show their own number, which is their label too; counts how often it is asked."""

    name = "counted"
    image_shape = (1, 2, 2)
    num_classes = 250

    def __init__(self, num_train: int, num_test: int) -> None:
        self.sizes = (num_train, num_test)
        self.num_loads = 0

    def load(self) -> tuple[ImageSet, ImageSet]:
        self.num_loads += 1
        train, test = (numbered(size) for size in self.sizes)
        return train, test


def numbered(size: int) -> ImageSet:
    numbers = torch.arange(size)
    return ImageSet(numbers.to(torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, 2, 2), numbers)


@pytest.fixture
def counted_source() -> type[CountedSource]:
    return CountedSource


@pytest.fixture
def numbered_images() -> Callable[[int], ImageSet]:
    return numbered


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[str], bytes | None]], str]]:
    """Starts a server whose answer to a file's name is a function; returns the mirror's URL."""
    servers = []

    def start(answer: Callable[[str], bytes | None]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = answer(self.path.removeprefix("/"))
                self.send_response(404 if content is None else 200)
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def silent_mirror() -> Iterator[str]:
    """A server that takes the connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"


@pytest.fixture
def closed_mirror() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}/"

"""Fetching files from mirrors, asking them first so that without a network it fails in seconds."""

import os
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from threading import Thread
from urllib.request import Request, urlopen

from torchvision.datasets.utils import download_url

PATIENCE_SECONDS = 3.0


def fetch(files: Mapping[str, str], mirrors: Sequence[str], folder: Path) -> None:
    """Bring ``files`` (MD5 by name) into ``folder`` from the first mirror that has them.

    ``mirrors`` are URLs that end in "/", to which a file's name is appended. A file appears in
    ``folder`` only once it is whole and its MD5 is right.

    Raises:
        ConnectionError: no mirror gave all of them; one line with each mirror and why it did not.
        OSError: ``folder`` cannot be written.
    """
    failures = _ask(mirrors, next(iter(files)))
    if len(failures) < len(mirrors):
        folder.mkdir(parents=True, exist_ok=True)
    with _socket_timeout(PATIENCE_SECONDS):
        for filename, md5 in files.items():
            _fetch_one(filename, md5, mirrors, folder, failures)


def _ask(mirrors: Sequence[str], filename: str) -> dict[str, str]:
    """The mirrors that do not serve ``filename`` within ``PATIENCE_SECONDS``, and why not."""
    failures = {mirror: f"no answer within {PATIENCE_SECONDS:g} s" for mirror in mirrors}

    def ask(mirror: str) -> None:
        try:
            request = Request(mirror + filename, headers={"User-Agent": "thaw"})
            with urlopen(request, timeout=PATIENCE_SECONDS):
                del failures[mirror]
        except (OSError, HTTPException) as error:
            failures[mirror] = _reason(error)

    # Daemon threads, because a name server that is silent outlasts every timeout of a socket.
    threads = [Thread(target=ask, args=(mirror,), daemon=True) for mirror in mirrors]
    deadline = time.monotonic() + PATIENCE_SECONDS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(failures)


def _fetch_one(
    filename: str, md5: str, mirrors: Sequence[str], folder: Path, failures: dict[str, str]
) -> None:
    """Try the mirrors that have not failed yet; one that fails now is noted in ``failures``."""
    for mirror in mirrors:
        if mirror in failures:
            continue
        try:
            with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as partial:
                download_url(mirror + filename, partial, filename, md5)
                os.replace(Path(partial, filename), folder / filename)
            return
        except (OSError, HTTPException, RuntimeError) as error:
            failures[mirror] = f"{filename}: {_reason(error)}"
    raise ConnectionError("; ".join(f"{mirror} ({why})" for mirror, why in failures.items()))


def _reason(error: Exception) -> str:
    """One line of plain words; ``URLError`` keeps them in its ``reason``."""
    return " ".join(str(getattr(error, "reason", error) or type(error).__name__).split())


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """A limit on every wait for the network inside, which torchvision's functions do not take."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)

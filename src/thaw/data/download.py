"""Files of published data sets: unpacked from archives, which are downloaded where missing."""

import os
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

from torchvision.datasets.utils import check_integrity, download_url, extract_archive

PATIENCE_SECONDS = 3.0


def complete(
    root: Path,
    archives: Mapping[Path, Path],
    md5: Mapping[str, str],
    mirrors: Sequence[str],
    may_fetch: bool = True,
) -> None:
    """Bring the files of a data set into their place, as far as they are missing.

    A file appears only once it is whole.

    Args:
        root: folder of the data sets.
        archives: archive of each file, which lies above or beside it.
        md5: MD5 of each archive, by the archive's name.
        mirrors: URLs that end in "/", to which an archive's name is appended.
        may_fetch: whether anything may be written.

    Raises:
        FileNotFoundError: a file could not be had; one line with what was tried and the ways out.
        ValueError: an archive is damaged.
    """
    missing = {file: archive for file, archive in archives.items() if not file.is_file()}
    try:
        # Such as the root that a checkpoint of another machine names.
        if missing and not may_fetch:
            raise PermissionError("only a folder named by THAW_DATA or data.root is written to")
        for archive in dict.fromkeys(missing.values()):
            files = [file for file in missing if missing[file] == archive]
            _unpack(archive, md5[archive.name], files, mirrors)
    except OSError as error:
        missing = {file: archive for file, archive in missing.items() if not file.is_file()}
        folder = next(iter(missing)).parent
        names = ", ".join(file.name for file in missing)
        packed = ", ".join(dict.fromkeys(archive.name for archive in missing.values()))
        raise FileNotFoundError(
            f"{folder} lacks {names}, and downloading failed: {error}. Three ways out: "
            f"set THAW_DATA to a folder that holds {folder.relative_to(root)}/; "
            f"or place {packed} in {next(iter(missing.values())).parent}; "
            "or use data=mnist_5k, which needs neither files nor network"
        ) from error


def damaged(path: Path, why: str) -> ValueError:
    """The one-line error for a file that must not be trained on."""
    return ValueError(f"{path} is damaged: {why}; delete it or put the original in its place")


def check_md5(path: Path, md5: str) -> None:
    """Raise the one-line error unless the file has this MD5."""
    if not check_integrity(path, md5):
        raise damaged(path, f"its MD5 is not {md5}")


def _unpack(archive: Path, md5: str, files: Sequence[Path], mirrors: Sequence[str]) -> None:
    folder = archive.parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as partial:
        if not archive.is_file():
            _download(archive.name, md5, mirrors, partial)
            os.replace(Path(partial, archive.name), archive)
        check_md5(archive, md5)
        extract_archive(archive, partial)
        for file in files:
            file.parent.mkdir(exist_ok=True)
            os.replace(partial / file.relative_to(folder), file)


def _download(name: str, md5: str, mirrors: Sequence[str], folder: str) -> None:
    """From the first mirror that has it; else ``ConnectionError`` with the reason of each."""
    failures = []
    for mirror in mirrors:
        try:
            with _socket_timeout(PATIENCE_SECONDS):
                download_url(mirror + name, folder, name, md5)
            return
        except (OSError, HTTPException, RuntimeError) as error:
            reason = str(getattr(error, "reason", error) or type(error).__name__)
            failures.append(f"{mirror} ({' '.join(reason.split())})")
    raise ConnectionError("; ".join(failures))


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """A limit on every wait for the network, which torchvision's functions do not take."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)

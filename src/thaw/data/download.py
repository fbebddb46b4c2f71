"""Files of published data sets: unpacked from archives, which are downloaded where missing."""

import hashlib
import os
import socket
import tempfile
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 3.0


def published(name: str) -> Any:
    """torchvision's class of that name, which knows where the data set is and its MD5s."""
    # Imported where something is missing, for it takes longer than torch.
    from torchvision import datasets

    return getattr(datasets, name)


def complete(
    root: Path,
    files: Sequence[Path],
    archive: Path,
    md5: str,
    mirrors: Sequence[str],
    may_fetch: bool = True,
) -> None:
    """Bring the files of an archive into their place, as far as they are missing.

    A file appears only once it is whole.

    Args:
        root: folder of the data sets.
        files: files in the archive, below its folder.
        archive: path of the archive, with its ``md5``.
        mirrors: URLs that end in "/", to which the archive's name is appended.
        may_fetch: whether anything may be written.

    Raises:
        FileNotFoundError: a file could not be had; one line with what was tried and the ways out.
        ValueError: the archive is damaged.
    """
    missing = [file for file in files if not file.is_file()]
    if not missing:
        return
    from torchvision.datasets.utils import extract_archive

    folder = missing[0].parent
    try:
        # Such as the root that a checkpoint of another machine names.
        if not may_fetch:
            raise PermissionError("only a folder named by THAW_DATA or data.root is written to")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".partial-") as partial:
            if not archive.is_file():
                _download(archive.name, md5, mirrors, partial)
                os.replace(Path(partial, archive.name), archive)
            check_md5(archive, md5)
            extract_archive(archive, partial)
            for file in missing:
                os.replace(partial / file.relative_to(archive.parent), file)
    except OSError as error:
        names = ", ".join(file.name for file in missing)
        raise FileNotFoundError(
            f"{folder} lacks {names}, and downloading failed: {error}. Three ways out: "
            f"set THAW_DATA to a folder that holds {folder.relative_to(root)}/; "
            f"or place {archive.name} in {archive.parent}; "
            "or use data=mnist_5k, which needs neither files nor network"
        ) from error


def damaged(path: Path, why: str) -> ValueError:
    """The one-line error for a file that must not be trained on."""
    return ValueError(f"{path} is damaged: {why}; delete it or put the original in its place")


def check_md5(path: Path, md5: str) -> None:
    """Raise the one-line error unless the file has this MD5."""
    with path.open("rb") as file:
        if hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() != md5:
            raise damaged(path, f"its MD5 is not {md5}")


def _download(name: str, md5: str, mirrors: Sequence[str], folder: str) -> None:
    """From the first mirror that has it; else ``ConnectionError`` with the reason of each."""
    from torchvision.datasets.utils import download_url

    failures = []
    # A limit on every wait for the network, which torchvision's functions do not take.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE_SECONDS)
    try:
        for mirror in mirrors:
            try:
                download_url(mirror + name, folder, name, md5)
                return
            except (OSError, HTTPException, RuntimeError) as error:
                reason = str(getattr(error, "reason", error) or type(error).__name__)
                failures.append(f"{mirror} ({' '.join(reason.split())})")
    finally:
        socket.setdefaulttimeout(before)
    raise ConnectionError("; ".join(failures))

"""Checkpoints as files that are checked before they are read; nothing here needs Lightning."""

import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thaw import __version__, runs

FORMAT = 1
"""Number of the layout of what a checkpoint holds beside the weights; older versions of thaw
refuse a higher one."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The contents of a checkpoint of thaw, on the CPU; nothing in it is executed.

    Raises:
        ValueError: it is missing, damaged, unsafe, not written by thaw, or by a newer one.
    """
    contents = _read(path)
    if not isinstance(contents, dict) or not _is_of_thaw(contents):
        raise ValueError(f"{path} is not a checkpoint of thaw")
    stored_format = contents["thaw"].get("format", 0)
    if not isinstance(stored_format, int) or stored_format > FORMAT:
        raise ValueError(
            f"{path} is of format {stored_format}, written by thaw {written_by(contents)}; this "
            f"is thaw {__version__}, which reads formats up to {FORMAT}: use that version"
        )
    return contents


def read_tensors(path: Path) -> dict[str, Tensor]:
    """A state dict of tensors from elsewhere, on the CPU; nothing in it is executed.

    ValueError where it is anything else.
    """
    contents = _read(path)
    is_state = isinstance(contents, dict) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in contents.items()
    )
    if not is_state:
        raise ValueError(f"{path} is not a state dict: it holds more than tensors by name")
    return dict(contents)


def _read(path: Path) -> Any:
    """What a file of ``torch.save`` holds, checked by its checksums."""
    if not path.is_file():
        what = "a folder" if path.is_dir() else "not a file" if path.exists() else "not there"
        raise ValueError(f"{path} is {what}, where a checkpoint should be: move it away")
    try:
        # Each part carries its CRC-32, and torch.load compares none; it refuses what is no zip.
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if damaged := archive.testzip():
                    raise ValueError(f"{damaged} in it is damaged")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the pickle's protocol and the like
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has nearly any for a file that is damaged or unsafe
        raise ValueError(f"{path} is not a readable checkpoint: {_why(path, error)}") from error


def _is_of_thaw(contents: dict[Any, Any]) -> bool:
    state = contents.get("state_dict")
    return (
        isinstance(contents.get("thaw"), dict)
        and isinstance(state, dict)
        and all(isinstance(value, Tensor) for value in state.values())
        and isinstance(contents.get("epoch"), int)
    )


def written_by(contents: Mapping[str, Any]) -> str:
    """The version of thaw that wrote a checkpoint, as far as it says so."""
    versions = contents["thaw"].get("versions")
    version = versions.get("thaw") if isinstance(versions, dict) else None
    return str(version) if version else "of an unknown version"


def _why(path: Path, error: Exception) -> str:
    """In one line, without torch's advice to load what is unsafe nevertheless."""
    text = str(error)
    if not path.stat().st_size:
        return "it is empty"
    name = re.search(r"GLOBAL (\S+)|Trying to \w+ (\S+)", text)
    if name:
        return (
            f"it names {name[1] or name[2]}, which no checkpoint does; nothing of it was executed"
        )
    if "weights_only" in text.lower().replace("weights only", "weights_only"):
        return "it holds something other than weights and plain values; nothing of it was executed"
    return text.splitlines()[0] if text else type(error).__name__


def newest_good(run_dir: Path) -> tuple[Path | None, list[str]]:
    """The last of a run's checkpoints that can be read, and what is wrong with later ones."""
    problems = []
    for name in (runs.LAST_CHECKPOINT, runs.PREVIOUS_CHECKPOINT):
        path = run_dir / name
        if path.exists() or path.is_symlink():
            try:
                read_checkpoint(path)
            except ValueError as error:
                problems.append(str(error))
            else:
                return path, problems
    return None, problems

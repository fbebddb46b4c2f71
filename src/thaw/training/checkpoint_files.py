"""Checkpoints as files: written whole or not at all, and known again by a checksum."""

import hashlib
import os
import re
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from thaw import __version__, runs, stopping

CHECKSUM = "checksum"
FORMAT = 1
"""Of what a checkpoint holds beside the weights; a newer one is another thaw's to read."""


class CheckpointFiles(TorchCheckpointIO):
    """Lightning's checkpoints, moved into place when they are complete, read without executing.

    A kill or a full disk while one is written leaves the file that was there before. What was the
    last one stays beside the new one as the previous one.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write ``checkpoint``, with its checksum beside its provenance.

        Raises:
            OSError: the disk is full or not writable; what was at ``path`` is still there.
        """
        provenance = {**checkpoint["thaw"], "format": FORMAT}
        checkpoint["thaw"] = provenance
        provenance[CHECKSUM] = digest(checkpoint)
        path = Path(path)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            runs.make_folder(path.parent)
            _remove_unfinished(path)
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            if path.is_file():
                replace_by_copy(path, path.with_name(runs.PREVIOUS_CHECKPOINT.name))
            os.replace(temporary, path)
        except runs.GoneError:
            raise
        except (OSError, RuntimeError) as error:
            # torch's writer, where a signal ends it, complains of what is not written.
            if isinstance(error.__context__, stopping.Stopped):
                raise error.__context__ from None
            kept = "the one before is whole" if path.is_file() else "there was none before"
            raise runs.WriteError(
                f"the checkpoint {path} could not be written ({kept}): {runs.reason(error)}"
            ) from error
        finally:
            if temporary.exists():
                temporary.unlink()

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """As :func:`read_checkpoint`, whatever is asked for."""
        return read_checkpoint(Path(path))


def replace_by_copy(path: Path, copy: Path) -> None:
    """Put what is at ``path`` at ``copy`` too, in one step.

    As a second name of the same file, which takes no room, where the file system has such: a
    checkpoint is never written to again, only replaced.
    """
    temporary = copy.with_name(f".{copy.name}.{os.getpid()}")
    try:
        try:
            os.link(path, temporary)
        except OSError:  # no such names here, or not enough rights for one
            shutil.copyfile(path, temporary)
        os.replace(temporary, copy)
    finally:
        # Where both are the same file already, replacing leaves it.
        temporary.unlink(missing_ok=True)


def _remove_unfinished(path: Path) -> None:
    """What processes that were killed while they wrote have left."""
    for unfinished in path.parent.glob(f".{path.name}.*"):
        unfinished.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The contents of a checkpoint of thaw, on the CPU; nothing in it is executed.

    Raises:
        ValueError: no file, damaged, altered, unsafe, not of thaw, or of a newer one.
    """
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no file" if path.exists() else "not there"
        raise ValueError(f"{path} is {what}, where a checkpoint should be: move it away")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the pickle's protocol and the like
            contents = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has nearly any for a file that is damaged or unsafe
        raise ValueError(f"{path} is no readable checkpoint: {_why(path, error)}") from error
    if not isinstance(contents, dict) or not _is_of_thaw(contents):
        raise ValueError(f"{path} is not a checkpoint of thaw")
    provenance = contents["thaw"]
    stored_format = provenance.get("format", 0)  # those of before formats had numbers have none
    if not isinstance(stored_format, int) or stored_format > FORMAT:
        raise ValueError(
            f"{path} is of format {stored_format}, written by thaw {written_by(contents)}; this "
            f"is thaw {__version__}, which reads formats up to {FORMAT}: use that version"
        )
    # Those of before there were checksums have none.
    written = provenance.get(CHECKSUM)
    if written is not None and written != _digest_or_none(contents):
        raise ValueError(f"{path} is damaged: it is not what was written (its checksum differs)")
    return contents


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
    named = re.search(r"GLOBAL (\S+)|Trying to \w+ (\S+)", text)
    if named:
        return (
            f"it names {named[1] or named[2]}, which no checkpoint does; nothing of it was executed"
        )
    if "weights_only" in text.lower().replace("weights only", "weights_only"):
        return "it holds something else than weights and plain values; nothing of it was executed"
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


def _digest_or_none(contents: Mapping[str, Any]) -> str | None:
    try:
        return digest(contents)
    except (RuntimeError, TypeError, ValueError):  # tensors that are never written, or too deep
        return None


def digest(contents: Mapping[str, Any]) -> str:
    """SHA-256, in hex, of plain containers and tensors, apart from a checksum among them."""
    state = hashlib.sha256()
    _feed(state, contents)
    return state.hexdigest()


def _feed(state: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        plain = value.detach().cpu().contiguous()
        state.update(f"tensor {plain.dtype} {tuple(plain.shape)};".encode())
        state.update(plain.flatten().view(torch.uint8).numpy().data)
    elif isinstance(value, Mapping):
        state.update(b"mapping;")
        for key, entry in value.items():
            if key != CHECKSUM:
                _feed(state, key)
                _feed(state, entry)
        state.update(b"end;")
    elif isinstance(value, list | tuple):
        state.update(b"sequence;")
        for entry in value:
            _feed(state, entry)
        state.update(b"end;")
    else:
        state.update(f"{type(value).__name__} {value!r};".encode())

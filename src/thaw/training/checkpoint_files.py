"""Checkpoints as files: written whole or not at all, and known again by a checksum."""

import hashlib
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from thaw import runs

CHECKSUM = "checksum"


class CheckpointFiles(TorchCheckpointIO):
    """Lightning's checkpoints, moved into place when they are complete, read without executing.

    A kill or a full disk while one is written leaves the file that was there before.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write ``checkpoint``, with its checksum beside its provenance.

        Raises:
            OSError: the disk is full or not writable; what was at ``path`` is still there.
        """
        checkpoint["thaw"] = {**checkpoint["thaw"], CHECKSUM: digest(checkpoint)}
        path = Path(path)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except (OSError, RuntimeError) as error:
            kept = "the one before is whole" if path.exists() else "there was none before"
            raise OSError(
                f"the checkpoint {path} could not be written ({kept}): {error}"
            ) from error
        finally:
            if temporary.exists():
                temporary.unlink()

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """As :func:`read_checkpoint`, whatever is asked for."""
        return read_checkpoint(Path(path))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The contents of a checkpoint of thaw, on the CPU; nothing in it is executed.

    Raises:
        ValueError: damaged, altered, unsafe, or not of thaw.
    """
    try:
        contents = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} is no readable checkpoint: {reason}") from error
    if not isinstance(contents, dict) or not {"thaw", "state_dict", "epoch"} <= set(contents):
        raise ValueError(f"{path} is not a checkpoint of thaw")
    # Those of before there were checksums have none.
    written = contents["thaw"].get(CHECKSUM)
    if written is not None and written != digest(contents):
        raise ValueError(f"{path} is damaged: it is not what was written (its checksum differs)")
    return contents


def newest_good(run_dir: Path) -> tuple[Path | None, list[str]]:
    """The last of a run's checkpoints that can be read, and what is wrong with later ones."""
    problems = []
    for name in (runs.LAST_CHECKPOINT, runs.PREVIOUS_CHECKPOINT):
        path = run_dir / name
        if path.is_file():
            try:
                read_checkpoint(path)
            except ValueError as error:
                problems.append(str(error))
            else:
                return path, problems
    return None, problems


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

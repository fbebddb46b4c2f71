"""Checkpoints as Lightning writes them: whole or not at all."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from thaw import runs, stopping, storage
from thaw.training.checkpoint_files import FORMAT, read_checkpoint


class CheckpointFiles(TorchCheckpointIO):
    """Lightning's checkpoints, moved into place when they are complete, read without executing.

    A kill or a full disk while one is written leaves the file that was there before. The one that
    is replaced stays beside it as the previous one.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write ``checkpoint``; after an OSError what was at ``path`` is still there."""
        checkpoint["thaw"] = {**checkpoint["thaw"], "format": FORMAT}
        path = Path(path)
        for left in path.parent.glob(f".{path.name}.*"):  # by a process that was killed
            left.unlink(missing_ok=True)
        try:
            with storage.replacing(path) as unfinished:
                with unfinished.open("wb") as file:
                    torch.save(checkpoint, file)
                    file.flush()
                    os.fsync(file.fileno())
                if path.is_file():
                    replace_by_copy(path, path.with_name(runs.PREVIOUS_CHECKPOINT.name))
        except storage.GoneError:
            raise
        except (OSError, RuntimeError) as error:
            # torch's writer, where a signal ends it, complains of what is not written.
            if isinstance(error.__context__, stopping.Stopped):
                raise error.__context__ from None
            kept = "the one before is whole" if path.is_file() else "there was none before"
            raise storage.WriteError(
                f"the checkpoint {path} could not be written ({kept}): {storage.reason(error)}"
            ) from error

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """As :func:`read_checkpoint`, whatever is asked for."""
        return read_checkpoint(Path(path))


def replace_by_copy(path: Path, copy: Path) -> None:
    """Replace ``copy`` by what is at ``path``, in one step.

    By a second name of the same file, which takes no space, where the file system has such: a
    checkpoint is never written to again, only replaced.
    """
    with storage.replacing(copy) as unfinished:
        unfinished.unlink()
        try:
            os.link(path, unfinished)
        except OSError:  # not on this file system, or not enough rights
            shutil.copyfile(path, unfinished)

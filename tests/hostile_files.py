"""Files that would run something if they were trusted, and a checkpoint made without training."""

import io
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from thaw import runs
from thaw.commands import config
from thaw.commands.app import CONF
from thaw.training.checkpoint_io import CheckpointFiles
from thaw.training.experiment import build, resolved

SMALL = ["data=mnist_5k", "model.hidden=[4,4]", "schedule.timesteps=20"]


class MakesFolder:
    """Makes a folder where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def zipped(contents: Any) -> bytes:
    """As torch writes today."""
    buffer = io.BytesIO()
    torch.save(contents, buffer)
    return buffer.getvalue()


def legacy(contents: Any) -> bytes:
    """As torch wrote before version 1.6."""
    buffer = io.BytesIO()
    torch.save(contents, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


KINDS: dict[str, Callable[[Any], bytes]] = {
    "zip": zipped,
    "legacy": legacy,
    "pickle": pickle.dumps,
}


def checkpoint(*overrides: str) -> dict[str, Any]:
    """The contents of a checkpoint of an untrained column-averaging model."""
    config.register()
    GlobalHydra.instance().clear()
    chosen = [*SMALL, "degradation=column_random", "logger=none", *overrides]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", chosen)
    provenance = {"config": resolved(cfg), "versions": {"thaw": "0.1.0"}}
    module = build(cfg, provenance).module
    if not overrides:  # black images are none that a density could be fitted to
        images = torch.zeros(5, 1, 28, 28, dtype=torch.uint8)
        module.prior.fit(images, module.restorer.degradation)
    return {"epoch": 0, "state_dict": module.state_dict(), "thaw": provenance}


def write(run_dir: Path, contents: dict[str, Any]) -> Path:
    """A run directory with that checkpoint and a record."""
    CheckpointFiles().save_checkpoint(contents, run_dir / runs.LAST_CHECKPOINT)
    runs.update_record(run_dir, {"status": "completed", "overrides": ["x=1"]})
    return run_dir


def changed(contents: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The same with other entries in its configuration."""
    stored = contents["thaw"]["config"] | changes
    return contents | {"thaw": {**contents["thaw"], "config": stored}}


def everything_in(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Path and contents of each file, links by what they point to."""
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            yield name, os.readlink(path).encode()
        elif path.is_file():
            yield name, path.read_bytes()

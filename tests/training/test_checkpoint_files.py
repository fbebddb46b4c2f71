"""Checkpoints as files: whole or not at all, checked before they are read, and data only."""

import errno
import os
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from thaw import runs
from thaw.training.checkpoint_files import newest_good, read_checkpoint
from thaw.training.checkpoint_io import CheckpointFiles


def contents(value: float = 1.0) -> dict[str, Any]:
    """As small as a checkpoint can be, with one of everything that is in one."""
    return {
        "epoch": 3,
        "state_dict": {"weight": torch.full((200, 50), value), "half": torch.ones(3).bfloat16()},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(5.0)}}, "betas": (0.9, 0.999)}],
        "empty": torch.empty(0, 4),
        "thaw": {"config": {"seed": 1, "name": None, "lr": 1e-3}, "versions": {}},
    }


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoints" / "last.ckpt"
    CheckpointFiles().save_checkpoint(contents(), path)
    return path


@pytest.mark.parametrize("share", [0.0, 0.999])
def test_a_truncated_file_is_refused(written: Path, share: float) -> None:
    os.truncate(written, int(share * written.stat().st_size))
    with pytest.raises(ValueError, match=r"last\.ckpt is (not a readable|damaged)"):
        read_checkpoint(written)


def test_every_byte_that_carries_a_weight_is_guarded(written: Path) -> None:
    """One bit changed in the tensor's bytes: torch alone would load it without a word."""
    whole = written.read_bytes()
    one = torch.ones(1).numpy().tobytes()
    places = [k for k in range(len(whole) - 4) if whole[k : k + 4] == one]
    assert len(places) > 9000
    for place in places[100:9000:890]:
        damaged = bytearray(whole)
        damaged[place + 1] ^= 1
        written.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"last\.ckpt is not a readable checkpoint: .*damaged"):
            read_checkpoint(written)


def test_a_full_disk_leaves_the_one_before_and_says_so(written: Path) -> None:
    """A limit on the size of files: writing fails half way for real."""
    before = written.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"could not be written .the one before is whole."):
            CheckpointFiles().save_checkpoint(contents(2.0), written)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert written.read_bytes() == before
    assert [path.name for path in written.parent.iterdir()] == ["last.ckpt"]


def test_a_folder_that_cannot_be_written_to_is_an_error_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="could not be written .there was none before.") as caught:
        CheckpointFiles().save_checkpoint(contents(), tmp_path / "file" / "last.ckpt")
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno in (errno.ENOTDIR, errno.EEXIST)


def test_the_newest_good_one_is_found(tmp_path: Path) -> None:
    assert newest_good(tmp_path) == (None, [])
    last, previous = (tmp_path / name for name in (runs.LAST_CHECKPOINT, runs.PREVIOUS_CHECKPOINT))
    CheckpointFiles().save_checkpoint(contents(), last)
    assert newest_good(tmp_path) == (last, [])
    shutil.copy(last, previous)
    os.truncate(last, 1000)
    found, (problem,) = newest_good(tmp_path)
    assert found == previous
    assert "last.ckpt" in problem
    os.truncate(previous, 1000)
    found, problems = newest_good(tmp_path)
    assert found is None
    assert len(problems) == 2

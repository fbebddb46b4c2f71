"""The names of the directories of runs, sweeps and their jobs, each claimed by one process."""

import hashlib
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

MAX_NAME = 180
# The overrides of a named sweep's job are its directory's name up to this length.
MAX_WHOLE = 60
# Between the overrides in a name, as in conf/train.yaml.
ITEM_SEP = "__"
VARYING = "THAW_VARYING"
_claimed: dict[str, str] = {}


def run_name(override_dirname: str, name: str | None = None) -> str:
    """A directory name that says what was overridden, safe in a shell and short enough."""
    text = name or override_dirname or "default"
    safe = _safe(text)
    if len(safe) > MAX_NAME:
        # ``max_epochs=5`` of ``trainer.max_epochs=5``, and the seed first where that is too long.
        parts = re.sub(rf"(^|{ITEM_SEP})[^=]*\.(?=\w+=)", r"\1", text).split(ITEM_SEP)
        if len(_safe(ITEM_SEP.join(parts))) > MAX_NAME:
            parts.sort(key=lambda part: not part.startswith("seed="))
        digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
        safe = f"{_safe(ITEM_SEP.join(parts))[:MAX_NAME]}~{digest}"
    return safe


def _safe(text: str) -> str:
    return re.sub(r"[^\w.=+-]+", "-", text).strip("-.") or "default"


def remember_varying(keys: Iterable[str]) -> None:
    """Note which keys have several values in a sweep, for the names of its jobs.

    In the environment, which the processes of every launcher have too.
    """
    os.environ[VARYING] = ITEM_SEP.join(keys)


def _what_varies(override_dirname: str) -> tuple[list[str], list[str]]:
    """The overrides of a job by keys that vary in its sweep, and the others."""
    keys = os.environ.get(VARYING, "").split(ITEM_SEP)
    parts = override_dirname.split(ITEM_SEP)
    varying = [part for part in parts if part.partition("=")[0].lstrip("+~") in keys]
    return varying, [part for part in parts if part not in varying]


def _brief(override_dirname: str) -> str:
    """What varies in a job's sweep; where nothing does, what kind of model it trains."""
    varying, others = _what_varies(override_dirname)
    kind = [part for part in others if part.startswith(("experiment=", "degradation="))]
    return ITEM_SEP.join(varying or kind)


def sweep_directory(parent: str, time: str, sweep_name: str | None) -> str:
    """``parent/NAME`` of a named sweep, there or not; else a folder of this process alone."""
    return f"{parent}/{run_name(sweep_name)}" if sweep_name else claim_directory(f"{parent}/{time}")


def job_name(
    number: int,
    override_dirname: str,
    name: str | None,
    sweep_name: str | None,
    *,
    _parent_: DictConfig,
) -> str:
    """A job's directory: its number and what varies, in a folder that is this sweep's alone.

    In ``hydra.sweep.dir=DIR``, which may be another sweep's too, its number and all its overrides;
    with a name of the sweep what :func:`lasting_name` says. ``_parent_`` is the node hydra.sweep.
    """
    if sweep_name:
        return lasting_name(Path(_parent_.dir), override_dirname)
    if "${thaw.sweep_dir:" in str(OmegaConf.to_container(_parent_, resolve=False)):
        parts = _brief(override_dirname)
    else:
        parts = ITEM_SEP.join(part for group in _what_varies(override_dirname) for part in group)
    return f"{number}_{run_name(parts, name)}"


def lasting_name(folder: Path, override_dirname: str) -> str:
    """The directory of a job in the folder of a named sweep, found again by any command.

    Its overrides; where they are long, what varies and a digest of all of them. What varies may
    differ between commands, so a directory with the digest is the job's whatever else it is called.
    So is one with all the overrides, as earlier versions made them.
    """
    whole = run_name(override_dirname)
    if len(whole) <= MAX_WHOLE or (folder / whole).is_dir():
        return whole
    digest = hashlib.blake2b(override_dirname.encode(), digest_size=6).hexdigest()
    there = sorted(path.name for path in folder.glob(f"*~{digest}"))
    return there[0] if there else f"{run_name(_brief(override_dirname))}~{digest}"


def release_directories() -> None:
    """Have the next run of this process claim a directory of its own, as another process would."""
    _claimed.clear()


def claim_directory(path: str) -> str:
    """``path``, or ``path-2``, ... : created now, by this process alone; asked again, the same."""
    number = 1
    while path not in _claimed:
        candidate = f"{path}-{number}" if number > 1 else path
        with suppress(FileExistsError):
            os.makedirs(candidate)
            _claimed[path] = candidate
        number += 1
    return _claimed[path]

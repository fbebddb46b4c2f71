"""The overrides that a run directory holds, checked before Hydra acts on them."""

import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from thaw import runs, storage
from thaw.commands import config
from thaw.commands.errors import InputError
from thaw.commands.selection import in_place_of

MAX_BYTES = 100_000
TEXTS = set(config.text_keys(config.TrainConfig))
TARGET = re.compile(r"[+]{0,2}[\w.]+\._target_=([\w.]+)", re.ASCII)


def stored_overrides(run_dir: Path, trusted: Sequence[str] = ()) -> list[str]:
    """What a run was started with, as ``resume=DIR`` gives it to Hydra again.

    They are a file's: an option, a key of Hydra's own, an interpolation, a file of configuration
    from elsewhere, or a class that is not thaw's (or of ``trusted`` packages) is refused.

    Raises:
        InputError: there are none, or one of them is of that kind.
    """
    path = run_dir / runs.OVERRIDES
    if not path.is_file():
        raise InputError(
            f"resume={run_dir}: no run there ({path} is missing){in_place_of(run_dir)}"
        )
    for override in (found := _read(path)):
        reason = _objection(override, trusted)
        if reason:
            raise InputError(
                f"resume={run_dir}: {path} holds {override[:100]!r}: {reason}; if it is yours, "
                f"give the run's own command again, with hydra.run.dir={run_dir}"
            )
    return found


def _read(path: Path) -> list[str]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES:,} bytes")
        found = yaml.safe_load(storage.read_text(path)) or []
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {' '.join(str(error).split())}") from error
    if not isinstance(found, list) or not all(isinstance(entry, str) for entry in found):
        raise InputError(f"{path} is damaged: it is no list of overrides")
    return found


def _objection(override: str, trusted: Sequence[str]) -> str:
    """What is wrong with an override; empty where nothing is."""
    key, _, value = override.partition("=")
    is_choice = "." not in key and key not in TEXTS
    if not re.match(r"[+~\w]", override):
        return "it is no override"
    if "hydra" in key:
        return "it sets up Hydra itself"
    if "${" in override.replace("\\", ""):
        return "it holds an interpolation"
    if is_choice and (".." in value or value.strip("'\"").startswith("/")):
        return "it names a file"
    if "_target_" not in override:
        return ""
    target = TARGET.fullmatch(override)
    if target is None:
        return "it names a class within a value"
    # Imported here, for it needs torch, which --help does not.
    from thaw.training.stored_targets import check_training

    try:
        check_training({"_target_": target[1]}, trusted)
    except ValueError as error:
        return str(error)
    return ""

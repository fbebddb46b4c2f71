"""What a run directory stores for Hydra: read, and checked before Hydra acts on it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from thaw import runs, storage
from thaw.commands import config
from thaw.commands.errors import InputError
from thaw.commands.selection import in_place_of

TEXTS = set(config.text_keys(config.TrainConfig))
TARGET = re.compile(r"[+]{0,2}([\w.]+)\._target_=([\w.]+)", re.ASCII)


def stored_overrides(run_dir: Path, trusted: Sequence[str] = ()) -> list[str]:
    """What a run was started with, as ``resume=DIR`` gives it to Hydra again.

    They are a file's: an option, a key of Hydra's own, an interpolation, a file of configuration
    from elsewhere, or a class that is not thaw's (or of ``trusted`` packages) is refused.

    Raises:
        InputError: there are none, or one of them is of that kind.
    """
    found: list[str] = read_stored("resume", run_dir, runs.OVERRIDES, list)
    for override in found:
        is_text = isinstance(override, str)
        reason = _objection(override, trusted) if is_text else "it is no override"
        if reason:
            raise InputError(
                f"resume={run_dir}: {runs.OVERRIDES} holds {str(override)[:100]!r}: {reason}; if "
                f"it is yours, give the run's own command again, with hydra.run.dir={run_dir}"
            )
    return found


def read_stored(option: str, run_dir: Path, name: str | Path, kind: type) -> Any:
    """What a YAML file of a run directory holds, as plain containers.

    Args:
        option: how the directory was given, such as ``resume``.
        run_dir: the run's directory.
        name: the file in it.
        kind: what it must hold, list or dict.

    Raises:
        InputError: it is not there or damaged.
    """
    path = run_dir / name
    if not path.is_file():
        missing = f"no run there ({path} is missing){in_place_of(run_dir)}"
        raise InputError(f"{option}={run_dir}: {missing}")
    try:
        found = yaml.safe_load(storage.read_text(path)) or kind()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {' '.join(str(error).split())}") from None
    if not isinstance(found, kind):
        raise InputError(f"{path} is damaged: it holds no {kind.__name__}")
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
    from thaw.training.stored_targets import check_target

    try:
        check_target(target[2], target[1], trusted)
    except ValueError as error:
        return str(error)
    return ""

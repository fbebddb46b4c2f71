"""What a run stores for Hydra (``resume=``, ``replay=``), checked before Hydra acts on it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from thaw import runs, storage
from thaw.commands import config
from thaw.commands.errors import InputError
from thaw.commands.selection import in_place_of

# Keys of a command and of its run's directory, which do not change what is trained.
OF_THE_COMMAND = ("name", "minutes", "report", "resume", "replay", "sweep", "trusted")
# Interpolations that are allowed: other keys, the environment, the new run's directory. Another
# resolver could call anything.
HARMLESS = r"\$\{ *(?:[\w.]+|(?:oc\.env|hydra) *:[^${}]*)\}"
STORED = "stored_run"
TEXTS = set(config.text_keys(config.TrainConfig))
TARGET = re.compile(r"[+]{0,2}([\w.]+)\._target_=([\w.]+)", re.ASCII)


def stored_overrides(run_dir: Path, trusted: Sequence[str] = ()) -> list[str]:
    """What a run was started with, as ``resume=DIR`` gives it to Hydra again.

    They are a file's: an option, a key of Hydra's own, an interpolation, a file of configuration
    from elsewhere, or a class that is not thaw's (or of ``trusted`` packages) is refused.
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
    """What a YAML file of a run directory holds, as plain containers. ``option`` is how the
    directory was given, such as ``resume``; ``kind`` what the file must hold, list or dict.
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


def replayed(arguments: Sequence[str]) -> Path | None:
    """The run directory that ``replay=DIR`` among the arguments of a command names."""
    given = [argument for argument in arguments if argument.startswith("replay=")]
    if not given:
        return None
    value = OverridesParser.create().parse_override(given[-1]).value()
    return Path(str(value)) if value is not None else None


def compose_from(run_dir: Path, arguments: Sequence[str], conf: Path) -> str:
    """Have Hydra start from the composed configuration of a run, whatever ``conf`` holds now.

    Its interpolations are not resolved, so that a changed key reaches all keys that refer to it.
    None of the command's arguments may choose from a group of ``conf``, whose train.yaml has the
    ``hydra`` section. Returns the name of the configuration in Hydra's store.
    """
    for argument in arguments:
        group = argument.partition("=")[0].lstrip("+~").partition("@")[0]
        if (conf / group).is_dir() and not group.startswith("hydra/"):
            raise InputError(
                f"replay= goes with values such as trainer.max_epochs=3, not with a choice of "
                f"another {group}: {argument}"
            )
    stored: dict[Any, Any] = read_stored("replay", run_dir, runs.CONFIG, dict)
    text = re.sub(HARMLESS, "", str(stored))
    if "${" in text:
        raise InputError(
            f"replay={run_dir}: its configuration may not hold {text[text.index('${') :][:60]!r}"
        )
    node = {
        **{str(key): value for key, value in stored.items() if key not in OF_THE_COMMAND},
        "defaults": ["train_schema", "_self_"],
        "hydra": OmegaConf.select(OmegaConf.load(conf / "train.yaml"), "hydra"),
    }
    ConfigStore.instance().store(STORED, OmegaConf.create(node))
    return STORED

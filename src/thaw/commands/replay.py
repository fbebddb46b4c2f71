"""``replay=DIR``: the stored configuration of a run as that of a new one, and what has changed."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from thaw import runs
from thaw.commands.errors import InputError
from thaw.commands.stored import read_stored
from thaw.provenance import git_state, versions

# Keys of a command and of its run's directory, which do not change what is trained.
OF_THE_COMMAND = ("name", "resume", "replay", "sweep", "trusted")
# Interpolations that are allowed: other keys, the environment, the new run's directory. Another
# resolver could call anything.
HARMLESS = r"\$\{ *(?:[\w.]+|(?:oc\.env|hydra) *:[^${}]*)\}"
STORED = "stored_run"


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

    Args:
        run_dir: the run's directory.
        arguments: the command's, of which none may choose from a group.
        conf: the folder of the groups and of train.yaml, whose ``hydra`` section holds here too.

    Returns:
        The name of the configuration in Hydra's store.

    Raises:
        InputError: there is no run, its configuration is damaged or calls what it must not, or a
            group is chosen from.
    """
    for argument in arguments:
        group = argument.partition("=")[0].lstrip("+~").partition("@")[0]
        if (conf / group).is_dir() and not group.startswith("hydra/"):
            raise InputError(
                f"replay= goes with values such as trainer.max_epochs=3, not with a choice of "
                f"another {group}: {argument}"
            )
    stored: dict[Any, Any] = read_stored("replay", run_dir, runs.CONFIG, dict)
    for text in _texts(stored):
        if "${" in re.sub(HARMLESS, "", text):
            raise InputError(f"replay={run_dir}: its configuration may not hold {text!r}")
    node = {
        **{str(key): value for key, value in stored.items() if key not in OF_THE_COMMAND},
        "defaults": ["train_schema", "_self_"],
        "hydra": OmegaConf.select(OmegaConf.load(conf / "train.yaml"), "hydra"),
    }
    ConfigStore.instance().store(STORED, OmegaConf.create(node))
    return STORED


def changes_since(run_dir: Path, checkout: Path) -> Iterator[str]:
    """A line for the versions and one for the code, where a run's are not those of now."""
    record = runs.read_record(run_dir)
    if not record:  # nothing is known of it
        return
    now, then = versions(), record.get("versions") or {}
    differing = [
        f"{name} {then.get(name)} (now {now.get(name)})"
        for name in sorted(now.keys() | then.keys())
        if now.get(name) != then.get(name)
    ]
    if differing:
        yield f"other versions than in {run_dir}: {', '.join(differing)}"
    git, patch = git_state(checkout)
    stored_patch = run_dir / runs.GIT_DIFF
    commit, commit_then = (each.get("commit") for each in (git or {}, record.get("git") or {}))
    if commit != commit_then:
        now_, then_ = commit or "unknown", commit_then or "unknown"
        yield f"another commit than in {run_dir}: {then_} (now {now_})"
    elif patch != (stored_patch.read_bytes() if stored_patch.is_file() else b""):
        yield f"other uncommitted changes than in {stored_patch}"


def _texts(value: Any) -> Iterator[str]:
    """Every text within plain containers, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _texts(key)
            yield from _texts(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _texts(entry)

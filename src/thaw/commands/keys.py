"""Checks the keys of a command: unknown ones are refused with a similar or the allowed ones."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from thaw.checks import annotations, check_fields, schema_of
from thaw.commands import config
from thaw.groups import GROUPS
from thaw.privates.omegaconf import root_of

# Names that other programs use, and the keys of thaw for them: the first that a command has.
MEANT = {
    "ckpt_path": ("resume", "checkpoint"),
    "checkpoint": ("resume",),
    "resume": ("run",),
    "epochs": ("trainer.max_epochs",),
}
MAX_NAMED = 3
SIMILAR = 0.7


def check_read(cfg: DictConfig) -> None:
    """Refuse a key that is in no schema and that nothing refers to, or a value that is not allowed.

    Hydra lets ``+KEY`` add any. The keys of a class are checked where an object of it is created.

    Raises:
        ValueError: naming the key, and the one that was meant or what is allowed.
    """
    schema = OmegaConf.get_type(cfg)
    assert schema is not None
    plain: dict[str, Any] = OmegaConf.to_container(cfg, resolve=False)  # type: ignore[assignment]
    unread = list(_not_in_schema(plain, schema))
    text = OmegaConf.to_yaml(cfg)
    if HydraConfig.initialized():
        hydra: Any = OmegaConf.to_container(HydraConfig.get(), resolve=False)
        text += OmegaConf.to_yaml(HydraConfig.get())
        unread += _not_in_schema(hydra, HydraConf, "hydra.")
        plain = {**plain, "hydra": hydra}
    referred = [f"{key}." for key in re.findall(r"\$\{ *([\w.]+) *\}", text)]
    for path, allowed in unread:
        if not any(key.startswith(f"{path}.") for key in referred):
            raise ValueError(unknown(path, plain, allowed))
    check_fields(schema, cfg)


def in_place_of_hydras(error: HydraException, command: str) -> str | None:
    """The message in place of Hydra's advice to add an unknown key or group by +; else None."""
    text, cause = str(error), error.__cause__ or error.__context__
    found = re.search(r"Could not override '([^']+)'.*\nTo append to your (\w+)", text, re.DOTALL)
    if found and found[2] == "default":
        return _no_choice(found[1].partition("@")[0], command)
    file = re.match(r"In '(([\w/]+)/[^/']+)': ConfigKeyError", text)
    if file and file[2] not in config.groups(command):
        return _no_choice(file[2], command)
    merged = re.match(r"Error merging override ([\w.]+)=", text)
    node = cause.parent_node if isinstance(cause, OmegaConfBaseException) else None
    if not isinstance(cause, OmegaConfBaseException) or not isinstance(node, DictConfig):
        return None
    root = OmegaConf.to_container(root_of(node), resolve=False)
    assert isinstance(root, dict)
    if file:
        return f"in {file[1]}: {unknown(str(cause.full_key), root, map(str, node))}"
    key = next((match[1] for match in (found, merged) if match), "")
    return unknown(key, root, map(str, node)) if found or key in MEANT else None


def unknown(path: str, root: Mapping[Any, Any], allowed: Iterable[str]) -> str:
    """The message for a key that nothing reads: with a similar key, or else with those allowed."""
    there = list(_paths(root))
    last = [path, *(each for each in there if each.startswith(f"{path}."))][-1]
    known = [
        each
        for each in there
        if not (f"{each}.".startswith(f"{path}.") or path.startswith(f"{each}."))
    ]
    if meant := next((each for each in MEANT.get(path, ()) if each in known), None):
        value = "=DIR" if meant in ("resume", "run") else ""
        return f"unknown key {path}: did you mean {meant}{value}?"
    if near := _nearest(last, known):
        return f"unknown key {last}: did you mean {' or '.join(near)}?"
    return f"unknown key {last}; allowed: {', '.join(sorted(allowed))}"


def _nearest(path: str, known: Sequence[str]) -> list[str]:
    """The known keys that are spelt alike, or end in the same word."""
    ends = {each: each.rpartition(".")[2] for each in known}
    end = path.rpartition(".")[2]
    same = [each for each in known if ends[each] == end]
    same = same if len(same) <= MAX_NAMED else []
    alike = difflib.get_close_matches(path, known, 1, SIMILAR)
    if same or alike:
        return (same or alike) if end == path else (alike or same)
    close = difflib.get_close_matches(end, list(ends.values()), 1, SIMILAR)
    found = [each for each in known if ends[each] in close]
    return found if len(found) <= MAX_NAMED else []


def _no_choice(group: str, command: str) -> str:
    groups = config.groups(command)
    if group in groups:
        brought_by = next(row.brought_by for row in GROUPS if row.name == group)
        parent, _, only = brought_by.partition("=")
        return f"{group} goes with a choice of {parent}: give {parent}={only or 'CHOICE'} too"
    takes = f"takes choices of {', '.join(groups)} alone" if groups else "takes no choices"
    kept = "; a run keeps its own" if command in ("demo", "evaluate", "export", "sample") else ""
    return f"unknown choice of {group}: {command}.py {takes}{kept}"


def _not_in_schema(
    values: Mapping[Any, Any], schema: type, prefix: str = ""
) -> Iterator[tuple[str, list[str]]]:
    """The keys that a schema lacks, each with the keys that are allowed in its place."""
    fields = {name: schema_of(kind) for name, kind in annotations(schema).items()}
    for key in values:
        path = f"{prefix}{key}"
        if path == "hydra.env":  # Hydra's own, which its schema lacks
            continue
        if key not in fields:
            yield path, list(fields)
        elif (inner := fields[key]) is not None and isinstance(values[key], Mapping):
            yield from _not_in_schema(values[key], inner, f"{path}.")


def _paths(values: Mapping[Any, Any], prefix: str = "") -> Iterator[str]:
    """Every key within."""
    for key, value in values.items():
        if re.fullmatch("_.+_", str(key)) is None:
            yield f"{prefix}{key}"
            if isinstance(value, Mapping):
                yield from _paths(value, f"{prefix}{key}.")

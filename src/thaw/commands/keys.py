"""Keys that nothing reads: refused, with the one that was meant or those that there are."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from thaw.commands import config

# What it is called elsewhere; the first of these that a command has is meant.
MEANT = {
    "ckpt_path": ("resume", "checkpoint"),
    "checkpoint": ("resume",),
    "resume": ("run",),
    "epochs": ("trainer.max_epochs",),
}
MAX_NAMED = 3
SIMILAR = 0.7


def check_read(cfg: DictConfig) -> None:
    """Refuse a key that is in no schema, and that nothing in the configuration refers to.

    Hydra lets ``+KEY`` add any. The keys of a class are checked where an object of it is made.

    Raises:
        ValueError: naming the key, and the one that was meant or those allowed.
    """
    nodes: list[tuple[str, Any]] = [("", cfg)]
    if HydraConfig.initialized():
        nodes.append(("hydra.", HydraConfig.get()))
    text = "".join(OmegaConf.to_yaml(node) for _, node in nodes)
    referred = [f"{key}." for key in re.findall(r"\$\{ *([\w.]+) *\}", text)]
    for prefix, node in nodes:
        for path, allowed in _not_in_schema(node, prefix):
            if not any(key.startswith(f"{path}.") for key in referred):
                root = OmegaConf.create({"hydra": node}) if prefix else cfg
                raise ValueError(unknown(path, root, allowed))


def in_place_of_hydras(error: HydraException, command: str) -> str | None:
    """What is said where Hydra knows no key or no group, and advises to add it by +; else None."""
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
    root: Any = node._get_root()
    if file:
        return f"in {file[1]}: {unknown(str(cause.full_key), root, map(str, node))}"
    key = next((match[1] for match in (found, merged) if match), "")
    return unknown(key, root, map(str, node)) if found or key in MEANT else None


def unknown(path: str, root: DictConfig, allowed: Iterable[str]) -> str:
    """What is said of a key that nothing reads: the one that was meant, else those allowed."""
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
        parent = group.rpartition("/")[0] or ("data" if group == "metrics" else "degradation")
        return f"{group} goes with a choice of {parent}: give {parent}=CHOICE too"
    takes = f"takes choices of {', '.join(groups)} alone" if groups else "takes no choices"
    kept = "; a run keeps its own" if command in ("evaluate", "sample") else ""
    return f"unknown choice of {group}: {command}.py {takes}{kept}"


def _not_in_schema(node: DictConfig, prefix: str) -> Iterator[tuple[str, list[str]]]:
    """The path of each key that is in none of the schemas, and the keys that its node may have."""
    kind = OmegaConf.get_type(node)
    if not is_dataclass(kind):
        return
    holds = {field.name: field.metadata.get("holds") for field in fields(kind)}
    for key in map(str, node):
        child = node._get_node(key)
        if prefix + key == "hydra.env":  # Hydra's own, which its schema lacks
            continue
        if key not in holds:
            yield prefix + key, list(holds)
        elif isinstance(child, DictConfig) and isinstance(child._content, dict):
            if (held := holds[key]) is not None:
                allowed = [field.name for field in fields(held)]
                others = [each for each in map(str, child) if each not in allowed]
                yield from ((f"{prefix}{key}.{each}", allowed) for each in others)
            yield from _not_in_schema(child, f"{prefix}{key}.")


def _paths(node: DictConfig, prefix: str = "") -> Iterator[str]:
    """Every key within, nothing resolved."""
    for key in map(str, node):
        if re.fullmatch("_.+_", key) is None:
            yield prefix + key
            child = node._get_node(key)
            if isinstance(child, DictConfig) and isinstance(child._content, dict):
                yield from _paths(child, f"{prefix}{key}.")

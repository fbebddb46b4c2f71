"""Whether a checkpoint fits the run that is to go on from it, or its own configuration."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from thaw import __version__
from thaw.data.identity import changes, class_changes
from thaw.groups import ROOTS, STATEFUL
from thaw.training.checkpoint_files import read_checkpoint, written_by
from thaw.training.model import Model

log = logging.getLogger(__name__)
# What may change between two parts of one training without a word.
FREE = (
    *(f"{group.name}." for group in ROOTS if not group.is_hyperparameter),
    "checkpoint.",
    "sweep.",
    "resume",
    "init_from",
    "name",
    "data.root",
    "data.cache",
)
MAX_NAMED = 3


def check_fits(path: Path, module: Model) -> list[dict[str, Any]]:
    """Refuse to go on from a checkpoint of another model; warn where other settings differ.

    Other classes are refused too, other images warned of. The answer is the data of the epochs
    before, where they were others: their identities, each with the ``epochs`` after which it was
    left.
    """
    contents = read_checkpoint(path)
    stored, current = contents["thaw"].get("config") or {}, module.provenance["config"]
    changed = differing(stored, current)
    kept = {key: value for key, value in changed.items() if not key.startswith(FREE)}
    tensors = differing_tensors(contents["state_dict"], module.state_dict())
    classes = [key for key in kept if key.removesuffix("._target_") in STATEFUL]
    if tensors or classes:
        raise ValueError(
            f"{path} is of another model: {_in_words(kept, tensors, contents)}; go on with what "
            "it was trained with, or start again with resume=never"
        )
    if kept:
        log.warning("going on from %s with other settings: %s", path.name, _listed(kept))
    return _earlier_data(path, contents, module.provenance.get("dataset"))


def _earlier_data(
    path: Path, contents: Mapping[str, Any], now: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    then = contents["thaw"].get("dataset")
    if now is None or not isinstance(then, dict):
        return []
    if classes := class_changes(then, now):
        raise ValueError(
            f"{path} was trained on other classes: {classes}; go on with those, or start again "
            "with resume=never"
        )
    earlier = list(then.get("earlier") or [])
    if words := changes(then, now):
        log.warning("going on from %s with other data: %s", path.name, words)
        left = {key: value for key, value in then.items() if key != "earlier"}
        earlier.append(left | {"epochs": int(contents["epoch"]) + 1})
    return earlier


def differing(stored: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, str]:
    """``was ..., is ...`` by the dotted key of each leaf that differs."""
    before, after = _leaves(stored), _leaves(current)
    return {
        key: f"{before.get(key, 'absent')} there, {after.get(key, 'absent')} here"
        for key in dict.fromkeys([*after, *before])
        if (key in before) != (key in after) or before.get(key) != after.get(key)
    }


def differing_tensors(stored: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """What is wrong with the stored tensors, one by one; priors take any shape."""
    found = []
    for name in dict.fromkeys([*expected, *stored]):
        if name.startswith("prior."):
            continue
        if name not in stored:
            found.append(f"{name} is missing")
        elif name not in expected:
            found.append(f"{name} is unknown")
        elif stored[name].shape != expected[name].shape:
            shapes = f"{list(stored[name].shape)}, not {list(expected[name].shape)}"
            found.append(f"{name} is {shapes}")
    return found


def versions_in_words(contents: Mapping[str, Any]) -> str:
    """``, written by thaw 0.1 (this is 0.2)`` where they differ, empty where they do not."""
    version = written_by(contents)
    return "" if version == __version__ else f", written by thaw {version} (this is {__version__})"


def listed(entries: Sequence[str]) -> str:
    """The first few of them, and how many more there are."""
    more = len(entries) - MAX_NAMED
    return ", ".join(entries[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _in_words(
    changes: Mapping[str, str], tensors: Sequence[str], contents: Mapping[str, Any]
) -> str:
    relevant = {key: text for key, text in changes.items() if key.startswith(STATEFUL)}
    parts = [_listed(relevant)] if relevant else []
    parts += [listed(tensors)] if tensors else []
    return "; ".join(parts) + versions_in_words(contents)


def _listed(changes: Mapping[str, str]) -> str:
    return listed([f"{key} ({text})" for key, text in changes.items()])


def _leaves(value: Mapping[Any, Any], path: str = "") -> dict[str, Any]:
    """The leaves of nested mappings by their dotted path; lists are leaves."""
    found: dict[str, Any] = {}
    for key, entry in value.items():
        name = f"{path}.{key}" if path else str(key)
        found |= _leaves(entry, name) if isinstance(entry, Mapping) else {name: entry}
    return found

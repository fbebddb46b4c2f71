"""What a configuration from a file may name: the kinds of the table of groups, from their homes."""

import inspect
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from thaw.groups import OF_A_MODEL, kinds_at
from thaw.training.nodes import is_kind

NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)


def stored_config(stored: object, trusted: Sequence[str] = ()) -> DictConfig:
    """The parts of a model in a configuration from a file, checked before any is built.

    Augmentation is left out, which no model is evaluated with. ValueError, in one line, where it
    names what is neither a part of thaw nor in a ``trusted`` package, or is no resolved
    configuration.
    """
    if not isinstance(stored, dict):
        raise ValueError("it holds no configuration")
    parts = {name: stored[name] for name in OF_A_MODEL if name in stored}
    if isinstance(data := parts.get("data"), dict) and "augment" in data:
        parts["data"] = data | {"augment": None}
    try:
        check_stored(parts, trusted)
        return OmegaConf.create(parts)
    except RecursionError as error:
        raise ValueError("its configuration is nested too deep") from error


def check_stored(stored: object, trusted: Sequence[str] = ()) -> None:
    """Refuse a configuration, or groups of it, that names anything but thaw's parts and torch's."""
    for place, node in _walk(stored):
        if isinstance(node, dict) and "_target_" in node:
            check_target(node["_target_"], place, trusted)


def _walk(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every node with its key; refuses what ``OmegaConf.to_container`` never leaves."""
    yield place, value
    if isinstance(value, dict):
        for key, entry in value.items():
            if not isinstance(key, str | int):
                raise ValueError(f"its configuration holds a key of type {type(key).__name__}")
            _refuse_interpolation(place, str(key))
            yield from _walk(entry, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            yield from _walk(entry, f"{place}[{number}]")
    elif isinstance(value, str):
        _refuse_interpolation(place, value)
    elif not isinstance(value, int | float | None):
        raise ValueError(f"its configuration holds a {type(value).__name__} at {place}")


def _refuse_interpolation(place: str, text: str) -> None:
    # It would be resolved on reading, and resolvers read the environment and make directories.
    if "${" in text:
        raise ValueError(f"its configuration holds an interpolation at {place}: {text[:60]!r}")


def check_target(target: object, place: str, trusted: Sequence[str] = ()) -> None:
    """Refuse a ``_target_`` of another kind; nothing is imported outside the homes of its kinds."""
    if isinstance(target, str) and NAME.fullmatch(target):
        if any(_is_of(target, package) for package in trusted):
            return
        if any(_is_at_home(target, row.home, row.base) for row in kinds_at(place)):
            return
    raise ValueError(
        f"its configuration names {str(target)[:100]} at {place}._target_, which is not a thaw or "
        "torch class for that place; add its package by trusted=[PACKAGE] if it is yours"
    )


def _is_at_home(target: str, home: str, base: str) -> bool:
    """Whether a target is a class of a kind, or a function for one, that its home defines."""
    if not _within(target, home):
        return False
    module_name, _, name = target.rpartition(".")
    try:
        found: object = getattr(import_module(module_name), name, None)
    except ImportError:  # a walk through attributes, such as thaw.data.cifar.os.system
        return False
    # A class of thaw is named by the module that defines it; other packages define them further in.
    owner = module_name if home.startswith("thaw") else home.partition(".")[0]
    is_own = not name.startswith("_") and _within(getattr(found, "__module__", None) or "", owner)
    # Functions may fetch or write files: only those of the modules that are a home of their own.
    is_function = inspect.isfunction(found) and home.startswith("thaw.")
    is_callable = inspect.isclass(found) or is_function
    return is_own and is_callable and is_kind(found, get_object(base))


def _is_of(target: str, package: str) -> bool:
    """Whether a trusted package defines it, and does not merely import it."""
    if not _within(target, package):
        return False
    try:
        found = get_object(target)
    except Exception as error:  # of whatever type the import raises
        reason = str(error).splitlines()[-1] if str(error) else type(error).__name__
        raise ValueError(
            f"its configuration names {target}, which is not there: {reason}"
        ) from error
    is_callable = inspect.isclass(found) or inspect.isfunction(found)
    return is_callable and _within(found.__module__, package)


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")

"""The nodes of a configuration: checked against the classes that they name, then built."""

import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, get_type_hints

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import nn

from thaw.checks import check, shown
from thaw.groups import GROUPS, WITHIN, Group, rows_at
from thaw.privates.omegaconf import key_of
from thaw.training.third_party import OWN, annotations_of

RESERVED = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def check_groups(cfg: DictConfig) -> None:
    """Refuse a group that is missing, or holds something else than a choice; imports nothing."""
    for row in (*GROUPS, *WITHIN):
        if row.root not in cfg and not row.is_hyperparameter:
            continue  # of a finished model, which is not trained
        value = _value(cfg, row.place)
        if row.has_members:
            members(cfg, row.name)
        elif not (row.base and _is_node(value)) and not _is_allowed(row, value):
            allowed = "null or " if row.is_nullable else ""
            raise ValueError(
                f"{row.place} must be {allowed}one of the choices of {row.root}, which "
                f"python train.py --help lists, got {shown(value)}"
            )


def _is_allowed(row: Group, value: Any) -> bool:
    """Whether a value that is no node may stand there; a class checks its own parameters."""
    if not row.base:
        return isinstance(value, Mapping)
    is_parameter = row.place.rpartition(".")[0] not in ("", "metrics")
    return is_parameter or (value is None and row.is_nullable)


def members(cfg: DictConfig, group: str) -> dict[str, DictConfig]:
    """The members of a group that has several, such as callbacks, without those that are null."""
    found = _value(cfg, group) or {}
    if not isinstance(found, Mapping):
        raise ValueError(f"{group} must hold members by name, got {shown(found)}")
    for name, node in found.items():
        if not (node is None or _is_node(node)):
            raise ValueError(f"{group}.{name} must be null or have a _target_, got {shown(node)}")
    return {str(name): node for name, node in found.items() if node is not None}


def _value(cfg: Any, place: str) -> Any:
    """None where nothing was chosen; a reference that leads nowhere has the key in its error."""
    for key in place.split("."):
        is_there = isinstance(cfg, DictConfig) and key in cfg.keys()  # noqa: SIM118
        cfg = cfg[key] if is_there and not OmegaConf.is_missing(cfg, key) else None
    return cfg


def _is_node(value: Any) -> bool:
    return isinstance(value, DictConfig) and "_target_" in value


def is_kind(found: Any, kind: type, unknown: bool = False) -> bool:
    """Whether a class is ``kind`` or a subclass, or a function returns one.

    ``unknown`` is the answer for a function that does not say what it returns.
    """
    if inspect.isroutine(found):
        found = get_type_hints(found).get("return")
        if found is None:
            return unknown
    return inspect.isclass(found) and kind in found.__mro__


def create(node: DictConfig, **context: Any) -> Any:
    """The object that a ``_target_`` node describes, given those of ``context`` it asks for."""
    key = str(key_of(node) or node._target_)
    with errors_at(key):
        if node.get("_partial_"):
            return instantiate(node, _convert_="all")
        parameters = parameters_of(node._target_)
        wanted = {
            name: context[name] for name in context if name in parameters and name not in node
        }
        for name, parameter in parameters.items():
            is_needed = parameter.default is parameter.empty and parameter.kind not in VARIADIC
            if is_needed and name not in node and name not in wanted and "_args_" not in node:
                raise ValueError(f"{key}.{name} is missing")
        parts = {name: create(node[name], **context) for name in _asking(node, context)}
        without = dict.fromkeys(parts)
        made = instantiate(node, **without, _partial_=True, _convert_="all")
        return made(**wanted | parts)


def _asking(node: DictConfig, context: Mapping[str, Any]) -> list[str]:
    """The parts of a node that ask for something of the context themselves."""
    return [
        str(name)
        for name, part in node.items()
        if _is_node(part) and (parameters_of(part._target_).keys() & context) - part.keys()
    ]


def parameters_of(target: str) -> Mapping[str, inspect.Parameter]:
    """The parameters of the class or function of that name."""
    found = get_object(target)
    # Inherited, it says that anything goes, and then refuses it.
    takes_nothing = getattr(found, "__init__", None) is nn.Module.__init__
    return {} if takes_nothing else inspect.signature(found).parameters


@contextmanager
def errors_at(key: str) -> Iterator[None]:
    """Put the key of a part of the configuration in front of errors that do not begin with it.

    ``KEY.parameter must be ...`` for a constructor's complaint about a parameter, ``KEY: ...`` for
    any other; an OSError stays as it is, and names a file.
    """
    try:
        yield
    except Exception as error:
        reason, message = _reason(error)
        if isinstance(reason, OSError):
            raise
        root = key.split(".")[0]
        if re.match(r"[a-z]\w*( must |=)", message):
            message = f"{key}.{message}"
        elif not re.match(rf"(unknown key )?{root}[.=/: ]", message):
            message = f"{key}: {message}"
        raise ValueError(message) from reason


def _reason(error: BaseException) -> tuple[BaseException, str]:
    """What Hydra wrapped, and its message in one line."""
    while isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__
    message = " ".join(str(error).split()) or repr(error)
    if allocation := re.search(r"you tried to allocate (\d+) bytes", message):
        message = f"needs {int(allocation[1]) / 2**30:,.0f} GiB of memory, more than there is"
        error = MemoryError(message)
    return error, message


def check_keys(cfg: Any, path: str = "") -> None:
    """Refuse a node of another kind than its group's, and what its class does not take.

    Nothing is constructed; classes are imported, so that a configuration from a file must have
    passed ``check_stored`` before.
    """
    if isinstance(cfg, ListConfig):
        for number, entry in enumerate(cfg):
            check_keys(entry, f"{path}{number}.")
    if not isinstance(cfg, DictConfig):
        return
    if "_target_" in cfg:
        _check_node(cfg, path)
    for key in cfg:
        if not OmegaConf.is_missing(cfg, key):
            check_keys(cfg[key], f"{path}{key!s}.")


def _check_node(node: DictConfig, path: str) -> None:
    place = path.removesuffix(".")
    check(f"{path}_target_", node._target_, str)
    try:
        found = get_object(node._target_)
    except Exception as error:  # of whatever type the import raises
        raise ValueError(f"{path}_target_={node._target_}: {_reason(error)[1]}") from error
    if not callable(found):
        raise ValueError(f"{path}_target_ must be a class or a function, got {node._target_}")
    for base in dict.fromkeys(row.base for row in rows_at(place)):
        if not is_kind(found, kind := get_object(base), unknown=True):
            raise ValueError(
                f"{path}_target_={node._target_} is not allowed: {place} must be a "
                f"{kind.__name__}, and {found.__name__} is not"
            )
    parameters = parameters_of(node._target_)
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    unknown = [key for key in map(str, node) if key not in RESERVED and key not in parameters]
    if unknown and not takes_any:
        allowed = ", ".join(sorted(set(map(str, node)) & set(parameters)))
        raise ValueError(f"unknown key {path}{unknown[0]}; allowed: {allowed}")
    values: Any = OmegaConf.to_container(node, resolve=True)
    annotations = annotations_of(node._target_)
    for key, value in values.items():
        if instead := OWN.get(node._target_, {}).get(key):
            raise ValueError(f"{path}{key} cannot be set: thaw gives it; use {instead}")
        if key in annotations and not _holds_node(value):
            check(path + key, value, annotations[key])


def _holds_node(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_holds_node, value))
    return isinstance(value, dict) and "_target_" in value

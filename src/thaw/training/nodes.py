"""The nodes of a configuration: looked through, and made into the objects that they describe."""

import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import nn

from thaw.checks import check_arguments, check_text, shown
from thaw.training.foreign import HANDS_ON, check_values

RESERVED = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
PARTS = ("data", "model", "degradation", "prediction", "objective", "sampler", "prior", "optimizer",
         "lr_scheduler", "ema")  # fmt: skip
MAY_BE_NULL = ("lr_scheduler", "ema")
NAMES_A_PARAMETER = r"[a-z]\w*( must |=)"
NAMES_A_KEY = rf"\b({'|'.join(PARTS)}|schedule|metrics|callbacks|logger|trainer)[.=/]\w"


def check_parts(cfg: DictConfig) -> None:
    """Refuse a group that is missing, or has another thing in its place than a choice of it.

    Raises:
        ValueError: naming the group.
    """
    for group in PARTS:
        node = _value(cfg, group)
        if not (_is_node(node) or (node is None and group in MAY_BE_NULL)):
            raise ValueError(
                f"{group}={shown(node)}: {group} must be one of the choices of its group, which "
                "python train.py --help lists"
            )
    metrics = _value(cfg, "metrics")
    if not isinstance(metrics, DictConfig):
        raise ValueError(f"metrics={shown(metrics)}: use metrics=none for no scores")
    for name in ("sampler", "suite"):
        node = _value(metrics, name)
        if not (node is None or _is_node(node)):
            raise ValueError(f"metrics.{name} must be null or have a _target_, got {shown(node)}")


def nodes(cfg: DictConfig, group: str) -> dict[str, DictConfig]:
    """The members of a group that has several, such as callbacks, without those that are null.

    Raises:
        ValueError: the group or a member of it is something else.
    """
    members = _value(cfg, group) or {}
    if not isinstance(members, Mapping):
        raise ValueError(f"{group} must hold members by name, got {shown(members)}")
    for name, node in members.items():
        if not (node is None or _is_node(node)):
            raise ValueError(f"{group}.{name} must be null or have a _target_, got {shown(node)}")
    return {str(name): node for name, node in members.items() if node is not None}


def _value(cfg: DictConfig, key: str) -> Any:
    """None where nothing was chosen; a reference that leads nowhere has the key in its error."""
    return cfg[key] if key in cfg.keys() and not OmegaConf.is_missing(cfg, key) else None  # noqa: SIM118


def _is_node(value: Any) -> bool:
    return isinstance(value, DictConfig) and "_target_" in value


def make(node: DictConfig, **context: Any) -> Any:
    """The object that a ``_target_`` node describes, given those of ``context`` it asks for.

    Raises:
        ValueError: it, or a nested object, could not be made; the message names the node.
    """
    key = str(node._get_full_key(None) or node._target_)
    with named(key):
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
        return instantiate(node, _partial_=True, _convert_="all")(**wanted)


def parameters_of(target: str) -> Mapping[str, inspect.Parameter]:
    """What the class or function of that name takes.

    Raises:
        Exception: of many kinds, where there is none.
    """
    found = get_object(target)
    # Inherited, it says that anything goes, and then refuses it.
    takes_nothing = getattr(found, "__init__", None) is nn.Module.__init__
    return {} if takes_nothing else inspect.signature(found).parameters


def made(kind: type, node: DictConfig, **context: Any) -> Any:
    """As :func:`make`, and of that class."""
    made = make(node, **context)
    if not isinstance(made, kind):
        key = node._get_full_key(None)
        raise ValueError(
            f"{key}._target_={node._target_} makes a {type(made).__name__}; {key} must be a "
            f"{kind.__name__}"
        )
    return made


@contextmanager
def named(key: str) -> Iterator[None]:
    """Let what goes wrong say in which part of the configuration, where it does not.

    Raises:
        ValueError: naming ``key``, or another that the error itself names.
        OSError: as it is; it names a file.
    """
    try:
        yield
    except Exception as error:
        reason, message = _reason(error)
        if isinstance(reason, OSError):
            raise
        if re.match(NAMES_A_PARAMETER, message):
            message = f"{key}.{message}"
        elif not re.search(NAMES_A_KEY, message):
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
    """Refuse a key that the target of its node does not take, or a value that it should not.

    Raises:
        ValueError: naming the key and those allowed.
    """
    if isinstance(cfg, ListConfig) and not cfg._is_none():
        for number, entry in enumerate(cfg):
            check_keys(entry, f"{path}{number}.")
    if not isinstance(cfg, DictConfig) or cfg._is_none():
        return
    if "_target_" in cfg:
        check_text(f"{path}_target_", cfg._target_)
        try:
            parameters = dict(parameters_of(cfg._target_))
            handed_on = HANDS_ON.get(cfg._target_)
            if handed_on is not None:
                parameters |= parameters_of(handed_on)
        except Exception as error:
            raise ValueError(f"{path}_target_={cfg._target_}: {_reason(error)[1]}") from error
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        keys = list(map(str, cfg))
        unknown = [key for key in keys if key not in RESERVED and key not in parameters]
        if unknown and (handed_on is not None or not takes_any):
            allowed = ", ".join(sorted(set(keys) & set(parameters)))
            raise ValueError(f"unknown key {path}{unknown[0]}; allowed: {allowed}")
        values: Any = OmegaConf.to_container(cfg, resolve=True)
        check_values(cfg._target_, path, values)
        plain = {key: value for key, value in values.items() if not _is_node(cfg[key])}
        check_arguments(get_object(cfg._target_), plain, path)
    for key in cfg:
        if not OmegaConf.is_missing(cfg, key):
            check_keys(cfg[key], f"{path}{key!s}.")

"""What a configuration from a file may name: thaw's own parts and torch's optimisers."""

import inspect
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import torch
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

# Whose classes are made of plain values and write nothing.
CLASSES = (
    "thaw.data",
    "thaw.diffusion",
    "thaw.networks",
    "thaw.metrics",
    "thaw.training.ema",
)
# The functions that the configuration names; those of other modules fetch and write files.
FUNCTIONS = {
    "thaw.diffusion.schedules": None,
    "thaw.training.lr_schedules": None,
    "thaw.metrics.encoders": ("load_encoder",),
}
# What a model is made of: trainer, loggers and callbacks are of the training alone.
PARTS = (
    "data",
    "model",
    "schedule",
    "degradation",
    "prediction",
    "objective",
    "sampler",
    "prior",
    "optimizer",
    "lr_scheduler",
    "ema",
    "metrics",
    "seed",
)
# What a training has beside the model.
TRAINING = ("thaw.training.callbacks",)
TRAINING_NAMES = (
    "pytorch_lightning.Trainer",
    "pytorch_lightning.loggers.TensorBoardLogger",
    "pytorch_lightning.strategies.DDPStrategy",
)
TRANSFORMS = "torchvision.transforms.v2"
MAX_DEPTH = 40
NAME = re.compile(r"[A-Za-z]\w*(\.[A-Za-z_]\w*)+", re.ASCII)


def stored_config(stored: object, trusted: Sequence[str] = ()) -> DictConfig:
    """The parts of a model in a configuration from a file, checked before anything is made of it.

    Augmentation is left out, which no model is evaluated with.

    Args:
        stored: plain containers.
        trusted: further packages whose classes and functions it may name.

    Raises:
        ValueError: it names something else, or is no resolved configuration; one line.
    """
    if not isinstance(stored, dict):
        raise ValueError("it holds no configuration")
    parts = {name: stored[name] for name in PARTS if name in stored}
    if isinstance(data := parts.get("data"), dict) and "augment" in data:
        parts["data"] = data | {"augment": None}
    for path, node in _targets(parts):
        check_target(node, trusted, path)
    return OmegaConf.create(parts)


def check_training(stored: object, trusted: Sequence[str] = ()) -> None:
    """Refuse a whole stored configuration to be trained by; trainer, callbacks and all.

    Beyond :func:`check_target` it may name thaw's callbacks, Lightning's trainer and TensorBoard
    logger, and torchvision's transforms.

    Args:
        stored: plain containers.
        trusted: further packages whose classes and functions it may name.

    Raises:
        ValueError: it names something else, or is no resolved configuration; one line.
    """
    for path, target in _targets(stored):
        if isinstance(target, str) and NAME.fullmatch(target):
            module_name, _, name = target.rpartition(".")
            if target in TRAINING_NAMES or _is_class_of(module_name, name, TRAINING):
                continue
            if module_name == TRANSFORMS and _is_transform(name):
                continue
        check_target(target, trusted, path)


def _targets(stored: object) -> Iterator[tuple[str, object]]:
    for path, node in _walk(stored):
        if isinstance(node, dict) and "_target_" in node:
            yield path, node["_target_"]


def _walk(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Every node with its path; refuses what ``OmegaConf.to_container`` never leaves."""
    if depth > MAX_DEPTH:
        raise ValueError(f"its configuration is nested more than {MAX_DEPTH} deep at {path[:60]}")
    yield path, value
    if isinstance(value, dict):
        for key, entry in value.items():
            if not isinstance(key, str | int):
                raise ValueError(f"its configuration holds a key of type {type(key).__name__}")
            _refuse_interpolation(path, str(key))
            yield from _walk(entry, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            yield from _walk(entry, f"{path}[{number}]", depth + 1)
    elif isinstance(value, str):
        _refuse_interpolation(path, value)
    elif not isinstance(value, int | float | None):
        raise ValueError(f"its configuration holds a {type(value).__name__} at {path}")


def _refuse_interpolation(path: str, text: str) -> None:
    # It would be resolved on reading, and resolvers read the environment and make directories.
    if "${" in text:
        raise ValueError(f"its configuration holds an interpolation at {path}: {text[:60]!r}")


def check_target(target: object, trusted: Sequence[str] = (), path: str = "") -> None:
    """Refuse a ``_target_`` that is not on the list; nothing is imported that is not allowed.

    Allowed are classes of ``CLASSES`` and functions of ``FUNCTIONS`` by the name of the module
    that defines them, ``torch.optim``'s optimisers, and what ``trusted`` packages define.

    Raises:
        ValueError: naming the target.
    """
    if isinstance(target, str) and NAME.fullmatch(target):
        module_name, _, name = target.rpartition(".")
        if _is_own(module_name, name) or _is_optimizer(module_name, name):
            return
        if any(_is_of(target, package) for package in trusted):
            return
    where = f" at {path}._target_" if path else ""
    raise ValueError(
        f"its configuration names {str(target)[:100]}{where}, which is none of thaw's own parts "
        "nor an optimiser of torch; add its package by trusted=[PACKAGE] if it is yours"
    )


def _is_own(module_name: str, name: str) -> bool:
    if _is_class_of(module_name, name, CLASSES):
        return True
    if module_name not in FUNCTIONS:
        return False
    found, names = _defined(module_name, name), FUNCTIONS[module_name]
    return inspect.isfunction(found) and (names is None or name in names)


def _is_class_of(module_name: str, name: str, packages: Sequence[str]) -> bool:
    is_inside = any(_within(module_name, package) for package in packages)
    return is_inside and inspect.isclass(_defined(module_name, name))


def _defined(module_name: str, name: str) -> object:
    """What a module of thaw defines by that name; None for what is private or imported there."""
    try:
        found: object = getattr(import_module(module_name), name, None)
    except ImportError:  # a walk through attributes, such as thaw.data.cifar.os.system
        return None
    is_private = name.startswith("_")
    return None if is_private or getattr(found, "__module__", None) != module_name else found


def _is_transform(name: str) -> bool:
    from torchvision.transforms import v2

    found = getattr(v2, name, None)
    # Lambda calls whatever it is given.
    return (
        inspect.isclass(found)
        and issubclass(found, v2.Transform | v2.Compose)
        and found is not v2.Lambda
    )


def _is_optimizer(module_name: str, name: str) -> bool:
    found = getattr(torch.optim, name, None) if module_name == "torch.optim" else None
    return inspect.isclass(found) and issubclass(found, torch.optim.Optimizer)


def _is_of(target: str, package: str) -> bool:
    """Whether a trusted package defines it, and does not merely import it."""
    if not _within(target, package):
        return False
    try:
        found = get_object(target)
    except Exception as error:  # whatever importing it raises
        reason = str(error).splitlines()[-1] if str(error) else type(error).__name__
        raise ValueError(
            f"its configuration names {target}, which is not there: {reason}"
        ) from error
    is_callable = inspect.isclass(found) or inspect.isfunction(found)
    return is_callable and _within(found.__module__, package)


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")

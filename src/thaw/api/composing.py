"""Configurations from Python: what a command's arguments stand for."""

from collections.abc import Sequence

from omegaconf import DictConfig, open_dict

from thaw.api.errors import as_value_errors
from thaw.commands.composing import composed
from thaw.commands.keys import check_read


def compose(*overrides: str, **keys: object) -> DictConfig:
    """The configuration of a training, as ``python train.py OVERRIDES --cfg job`` shows it.

        cfg = thaw.compose("degradation=column_random", "optimizer.lr=1e-3", seed=3)

    Args:
        overrides: ``KEY=VALUE`` and ``GROUP=CHOICE``, as on the command line.
        keys: the same for keys without a dot, such as ``seed=3``.

    Raises:
        ValueError: an unknown key, choice or value, in the command's one line.
    """
    arguments = as_arguments(overrides, keys)
    with as_value_errors(arguments):
        cfg = composed("train", arguments)
        with open_dict(cfg):
            del cfg["hydra"]
        check_read(cfg)
    return cfg


def as_arguments(overrides: Sequence[str], keys: dict[str, object]) -> list[str]:
    """The arguments of a command: ``seed=3`` of ``{"seed": 3}``, null of None."""
    words = {None: "null", True: "true", False: "false"}
    given = {
        key: words[value] if value is None or isinstance(value, bool) else value
        for key, value in keys.items()
    }
    return [*overrides, *(f"{key}={value}" for key, value in given.items())]

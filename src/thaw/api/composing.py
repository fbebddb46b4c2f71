"""Configurations from Python: what a command's arguments stand for."""

from collections.abc import Sequence

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import DictConfig, open_dict

from thaw.api.errors import as_value_errors
from thaw.commands import config
from thaw.commands.arguments import prepared
from thaw.commands.errors import InputError
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


def composed(command: str, arguments: Sequence[str]) -> DictConfig:
    """The configuration of a command with Hydra's own, in the key ``hydra``."""
    config.register()
    if option := next((each for each in arguments if each.startswith("-")), None):
        raise InputError(
            f"arguments must be KEY=VALUE or GROUP=CHOICE, got {option}; a sweep is a loop of calls"
        )
    name, overrides = prepared(arguments, command)
    with initialize_config_dir(str(config.CONF), job_name=command, version_base="1.3"):
        return hydra_compose(name, overrides, return_hydra_config=True)


def as_arguments(overrides: Sequence[str], keys: dict[str, object]) -> list[str]:
    """The arguments of a command: ``seed=3`` of ``{"seed": 3}``, null of None."""
    words = {None: "null", True: "true", False: "false"}
    given = {
        key: words[value] if value is None or isinstance(value, bool) else value
        for key, value in keys.items()
    }
    return [*overrides, *(f"{key}={value}" for key, value in given.items())]

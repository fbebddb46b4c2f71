"""Configurations of commands, composed in a process of any kind."""

from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from thaw.commands import config
from thaw.commands.arguments import prepared
from thaw.commands.errors import InputError


def composed(command: str, arguments: Sequence[str]) -> DictConfig:
    """The configuration of a command with Hydra's own, in the key ``hydra``."""
    config.register()
    if option := next((each for each in arguments if each.startswith("-")), None):
        raise InputError(
            f"arguments must be KEY=VALUE or GROUP=CHOICE, got {option}; a sweep is a loop of calls"
        )
    name, overrides = prepared(arguments, command)
    hydra = GlobalHydra.instance()
    # Within a command Hydra is in use already.
    outer = hydra.hydra
    hydra.clear()
    try:
        with initialize_config_dir(str(config.CONF), job_name=command, version_base="1.3"):
            return compose(name, overrides, return_hydra_config=True)
    finally:
        hydra.hydra = outer

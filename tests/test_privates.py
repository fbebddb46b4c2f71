"""The private names of other libraries that thaw uses are there; an upgrade may drop them."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import hydra._internal.hydra
import hydra.core.utils
import pytest
import pytorch_lightning as pl
import torch
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import OmegaConf
from torch.utils.tensorboard import SummaryWriter

from thaw.privates import hydra as of_hydra
from thaw.privates import lightning as of_lightning
from thaw.privates import omegaconf as of_omegaconf

NODE = OmegaConf.create({"a": {"b": {"c": 1}}})
# What each name is for is in the module of its library in thaw.privates.
NAMES: dict[str, Callable[[], Any]] = {
    "OmegaConf: node._get_root": lambda: of_omegaconf.root_of(NODE.a.b).a,
    "OmegaConf: node._get_full_key": lambda: of_omegaconf.key_of(NODE.a.b) == "a.b" or None,
    "Lightning: trainer._checkpoint_connector.dump_checkpoint": (
        lambda: pl.Trainer(logger=False)._checkpoint_connector.dump_checkpoint
    ),
    "Lightning: fit_loop._should_accumulate": (
        lambda: pl.Trainer(logger=False).fit_loop._should_accumulate
    ),
    "Lightning: fit_loop._can_stop_early": (
        lambda: type(pl.Trainer(logger=False).fit_loop)._can_stop_early
    ),
    "Lightning: fit_loop._iteration_based_training": (
        lambda: pl.Trainer(logger=False).fit_loop._iteration_based_training
    ),
    "Lightning: strategies.launchers._SubprocessScriptLauncher": (
        lambda: of_lightning._SubprocessScriptLauncher
    ),
    "torch: _dynamo.config.recompile_limit": lambda: torch._dynamo.config.recompile_limit,
    "torch: SummaryWriter._get_file_writer": lambda: SummaryWriter._get_file_writer,
    "Hydra: _internal.utils.get_args_parser": (
        lambda: of_hydra.options_of(of_hydra.argument_parser())
    ),
    "Hydra: BasicSweeper.split_arguments": lambda: of_hydra.split([]),
    "Hydra: the function load_configuration": (
        lambda: getattr(ConfigLoaderImpl, of_hydra.COMPOSES)
    ),
    "Hydra: the function run_job": lambda: getattr(hydra.core.utils, of_hydra.RUNS_A_JOB),
    "Hydra's joblib launcher: _core.execute_job, process_joblib_cfg": (
        lambda: import_module("thaw.privates.hydra_joblib")
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_private_name_is_still_there(name: str) -> None:
    try:
        found = NAMES[name]()
    except (AttributeError, ImportError, TypeError, ValueError) as error:
        found, reason = None, str(error)
    else:
        reason = "it is empty"
    assert found is not None, f"this version lacks {name} ({reason}): see src/thaw/privates"

"""Private names of Hydra."""

import argparse
import traceback
from collections.abc import Collection, Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override

# The functions of Hydra that are looked for in tracebacks: the first composes the
# configuration, the second makes a directory for a job and runs it.
COMPOSES, RUNS_A_JOB = "load_configuration", "run_job"
_store = ConfigStore.store


def share_schemas() -> None:
    """Have the copies of a configuration repository share the store of schemas, which none changes.

    Hydra copies the repository to compose a configuration and to list a group, and with it the
    schemas of all plugins: most of the time of a command's help. Missing: a way to list groups
    without a copy.
    """
    ConfigStore.__deepcopy__ = lambda store, memo: store  # type: ignore[attr-defined]


def leave_out(schemas: Collection[tuple[str, str]]) -> None:
    """Have the store of schemas take none of these groups and names.

    A launcher's process looks for plugins anew after all of thaw's own preparations, and they store
    theirs. Missing: a way to prefer a file to a plugin's schema.
    """

    def store(
        self: ConfigStore, name: str, node: Any, group: str | None = None, **rest: Any
    ) -> None:
        if (group, name.removesuffix(".yaml")) not in schemas:
            _store(self, name, node, group, **rest)

    ConfigStore.store = store  # type: ignore[assignment,method-assign]


def argument_parser() -> argparse.ArgumentParser:
    """Hydra's parser of the command line.

    Missing: a public way to know which arguments are options and which overrides.
    """
    return get_args_parser()


def options_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The options of a parser; argparse itself has no public list of them."""
    return [action for action in parser._actions if action.option_strings]


def is_basic_sweeper(target: str) -> bool:
    """Whether a ``_target_`` is the sweeper that runs every combination.

    Missing: a public name for it.
    """
    return target.endswith(f".{BasicSweeper.__name__}")


def split(overrides: list[Override]) -> Sequence[Sequence[str]]:
    """The overrides of each job that the basic sweeper makes of a command's.

    Missing: a public way to learn the jobs before the first one starts.
    """
    (jobs,) = BasicSweeper.split_arguments(overrides, None)
    return jobs


def is_before_a_job(error: BaseException, job_module: str) -> bool:
    """Whether Hydra raised an error while it composed a configuration or made a run directory.

    Missing: a type of its own for these; some nonsense breaks Hydra with a plain TypeError.

    Args:
        error: with its traceback.
        job_module: the module of what Hydra calls for a job.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    functions = {frame.f_code.co_name for frame in frames}
    is_in_job = any(frame.f_globals.get("__name__") == job_module for frame in frames)
    return COMPOSES in functions or (RUNS_A_JOB in functions and not is_in_job)

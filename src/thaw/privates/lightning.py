"""Private names of Lightning."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher


def checkpoint_contents(trainer: pl.Trainer) -> dict[str, Any]:
    """What ``trainer.save_checkpoint`` would write, weights and the optimiser's state included.

    Missing: a public way to the contents without a file.
    """
    return trainer._checkpoint_connector.dump_checkpoint(weights_only=False)


def is_accumulating(trainer: pl.Trainer) -> bool:
    """Whether the batch at hand takes no step of the optimiser: its gradients are kept.

    Missing: a public property; ``global_step`` changes after the hooks that ask.
    """
    return trainer.fit_loop._should_accumulate()


def starts_processes(trainer: pl.Trainer) -> bool:
    """Whether the strategy starts a run's other processes as commands, as DDP does.

    Missing: a public name for the launcher's class; those that fork cannot be told apart.
    """
    return isinstance(trainer.strategy.launcher, _SubprocessScriptLauncher)


def may_stop_early(trainer: pl.Trainer) -> bool:
    """Whether ``trainer.should_stop`` ends training now: ``min_epochs`` and ``min_steps`` are over.

    Missing: a public property; ``fit_loop.done`` counts an epoch as completed when it is asked.
    """
    return trainer.fit_loop._can_stop_early


def count_by_epochs(trainer: pl.Trainer) -> None:
    """On resume, do not repeat a finished epoch without a batch, as ``trainer.max_steps`` makes it.

    Missing: a setting of the fit loop.
    """
    loop: Any = trainer.fit_loop
    loop._iteration_based_training = lambda: False

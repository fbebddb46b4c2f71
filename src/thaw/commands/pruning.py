"""Pruning: a run of a search is ended early where its ``sweep.metric`` is worse than others' was.

Needs no Optuna unless this process runs a trial.
"""

import os
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from thaw import ranks
from thaw.training.callbacks.pruning import Pruning
from thaw.training.callbacks.run_files import read_metrics

# The environment variable with the numbers of study and trial, of a job and its other processes.
TRIAL = "THAW_TRIAL"
PRUNERS = {
    "median": "MedianPruner",
    "successive_halving": "SuccessiveHalvingPruner",
    "hyperband": "HyperbandPruner",
}


def check_pruner(config: DictConfig) -> None:
    """Refuse a pruner that is not there, or has no score of each epoch."""
    pruner = OmegaConf.select(config, "hydra.sweeper.pruner")
    if pruner is None:
        return
    if not OmegaConf.is_dict(pruner) and pruner not in PRUNERS:
        allowed = ", ".join(PRUNERS)
        raise ValueError(
            f"hydra.sweeper.pruner must be one of {allowed}, null, or have a _target_, "
            f"got {pruner!r}"
        )
    if config.sweep.metric.startswith("final/"):
        raise ValueError(
            "hydra.sweeper.pruner needs a score of each epoch, such as sweep.metric=val/fid, "
            f"got {config.sweep.metric}"
        )


def is_trial() -> bool:
    """Whether this process runs a trial of a search."""
    return TRIAL in os.environ


def of_trial(cfg: DictConfig, run_dir: Path) -> Pruning | None:
    """What tells the search each epoch's score and may end the run; None where there is no search.

    The epochs that the run had before are told now.
    """
    if not is_trial():
        return None
    if ranks.rank() > 0:  # the first process asks
        return Pruning(cfg.sweep.metric)
    from thaw.commands import trials

    hydra: Any = HydraConfig.get()  # by its type a HydraConf, which it is not
    trial = trials.of_this_run(hydra, run_dir)
    for row in read_metrics(run_dir) if cfg.resume == "auto" else ():
        if score := row.get(cfg.sweep.metric):
            trial.tell(row["epoch"], float(score))
    return Pruning(cfg.sweep.metric, trial)

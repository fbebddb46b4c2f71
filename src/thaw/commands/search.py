"""The score that a search over hyperparameters makes smallest."""

import re
from collections.abc import Collection
from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from thaw import runs
from thaw.commands.errors import InputError
from thaw.metrics import table
from thaw.training.nodes import members

LOSSES = ("train/loss", "val/loss")


def check_search(config: DictConfig) -> None:
    """Refuse a search that is not told what to make smallest: it would train for nothing.

    Raises:
        InputError: with the way out.
    """
    is_search = "optuna" in config.hydra.sweeper._target_
    if is_search and OmegaConf.select(config, "sweep.metric") is None:
        raise InputError(
            "a search needs a score to make smallest: sweep.metric=val/fid, or another"
        )


def check_metric(cfg: DictConfig, stages: Collection[str] = ()) -> None:
    """Refuse, before training, a ``sweep.metric`` that the run would not have.

    Args:
        cfg: the run's configuration.
        stages: of the restorations that each epoch scores.

    Raises:
        ValueError: naming what there is.
    """
    metric, metrics = cfg.sweep.metric, cfg.metrics
    # What callbacks of other packages log is not known.
    others = [
        node
        for node in members(cfg, "callbacks").values()
        if not str(node._target_).startswith("thaw.")
    ]
    if metric is None or metric in LOSSES or (others and metric.startswith("val/")):
        return
    names = [name for row in table.GENERATED for name in (row.name, row.std, row.floor) if name]
    scores, restored = "|".join([*names, "n"]), "|".join(row.name for row in table.RESTORED)
    best = table.GENERATED[0].name
    patterns = {}
    if metrics.suite and metrics.num_samples > 0:
        patterns[f"val/{best}"] = f"val/({scores})"
    if stages:
        first = next(iter(stages))
        patterns[f"val/{table.RESTORED[0].name}_{first}"] = f"val/({restored})_({'|'.join(stages)})"
    if metrics.suite and metrics.final_num_samples > 0:
        patterns[f"final/{best}"] = f"final/({scores})"
    if not any(re.fullmatch(pattern, metric) for pattern in patterns.values()):
        allowed = ", ".join([*LOSSES, *patterns])
        raise ValueError(f"sweep.metric must be a score of the run, such as {allowed}: {metric!r}")


def check_validated(cfg: DictConfig, trainer: pl.Trainer, num_batches: int) -> None:
    """Refuse val/loss as ``sweep.metric`` where the last epoch would have no validation.

    Args:
        cfg: the run's configuration.
        trainer: of the run.
        num_batches: batches of all training images.

    Raises:
        ValueError: naming the key that leaves validation out.
    """
    if cfg.sweep.metric != "val/loss":
        return
    limit, every = trainer.limit_train_batches, trainer.check_val_every_n_epoch
    batches = min(num_batches, limit) if isinstance(limit, int) else int(num_batches * limit)
    steps = -(-batches // trainer.accumulate_grad_batches) or 1
    epochs, rest = trainer.max_epochs or -1, 0
    if trainer.max_steps != -1 and (epochs == -1 or trainer.max_steps < epochs * steps):
        epochs, rest = divmod(trainer.max_steps, steps)
    problem = None
    if not trainer.limit_val_batches:
        problem = f"limit_val_batches={trainer.limit_val_batches}"
    elif rest:
        problem = f"max_steps={trainer.max_steps}, inside an epoch of {steps} steps"
    elif every is None or (epochs != -1 and epochs % every):
        problem = f"check_val_every_n_epoch={every}"
    if problem:
        raise ValueError(
            "sweep.metric must be a score of the run, and its last epoch has no val/loss with "
            f"trainer.{problem}"
        )


def result(cfg: DictConfig, run_dir: Path) -> float | None:
    """The run's ``sweep.metric``, of the last epoch or final; None where there is none.

    Raises:
        InputError: the run has no such number.
    """
    metric = cfg.sweep.metric
    if metric is None:
        return None
    record = runs.read_record(run_dir)
    scores = (record.get("last_epoch") or {}) | (record.get("final_scores") or {})
    numbers = {key: value for key, value in scores.items() if isinstance(value, int | float)}
    if record.get("status") == "failed":  # before, and it was not run again
        raise InputError(str(record.get("error")))
    if metric not in numbers:
        raise InputError(f"sweep.metric={metric}: {run_dir} has only {', '.join(sorted(numbers))}")
    return float(numbers[metric])

"""What a search over hyperparameters makes smallest: one score of each run."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from thaw import runs
from thaw.commands.errors import InputError

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


def check_metric(cfg: DictConfig) -> None:
    """Refuse, before training, a ``sweep.metric`` that the run would not have.

    Raises:
        ValueError: naming what there is.
    """
    metric, metrics = cfg.sweep.metric, cfg.metrics
    scored = {
        "val/": bool(metrics.suite) and metrics.num_samples > 0,
        "final/": bool(metrics.suite) and metrics.final_num_samples > 0,
    }
    known = metric is None or metric in LOSSES
    if not known and not any(is_there and metric.startswith(k) for k, is_there in scored.items()):
        kinds = [f"{kind}fid" for kind, is_there in scored.items() if is_there]
        allowed = ", ".join([*LOSSES, *kinds])
        raise ValueError(f"sweep.metric must be a score of the run, such as {allowed}: {metric!r}")


def result(cfg: DictConfig, run_dir: Path) -> float | None:
    """The run's ``sweep.metric``, at the last epoch or of the final estimate; None for none.

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

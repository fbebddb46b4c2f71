"""``sweep.metric``: the score that a search over hyperparameters makes smallest."""

from collections.abc import Collection
from pathlib import Path

from omegaconf import DictConfig

from thaw import runs
from thaw.commands.errors import InputError
from thaw.metrics import table
from thaw.training.nodes import members


class Pruned(float):
    """The score that a run had when its search ended it."""


def check_metric(cfg: DictConfig, stages: Collection[str] = ()) -> None:
    """Refuse, before training, a ``sweep.metric`` that the run would not have.

    Args:
        cfg: the run's configuration.
        stages: the stages of the restorations that each epoch scores.
    """
    metric, metrics = cfg.sweep.metric, cfg.metrics
    targets = [str(node._target_) for node in members(cfg, "callbacks").values()]
    # What callbacks of other packages log is not known.
    has_others = not all(target.startswith("thaw.") for target in targets)
    if metric is None or (has_others and metric.startswith("val/")):
        return
    scores = [name for row in table.GENERATED for name in (row.name, row.std, row.floor) if name]
    restored = [f"{row.name}_{stage}" for row in table.RESTORED for stage in stages]
    found = [["train/loss"], ["val/loss"]]
    if metrics.suite and metrics.num_samples > 0:
        found.append([f"val/{name}" for name in (*scores, "n")])
    if stages:
        found.append([f"val/{name}" for name in restored])
    if metrics.suite and metrics.final_num_samples > 0:
        found.append([f"final/{name}" for name in (*scores, "n")])
    if not any(metric in names for names in found):
        allowed = ", ".join(names[0] for names in found)
        raise ValueError(f"sweep.metric must be a score of the run, such as {allowed}: {metric!r}")


def result(cfg: DictConfig, run_dir: Path) -> float | None:
    """The run's ``sweep.metric``, of the last epoch or final; None if none is chosen."""
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
    return (Pruned if runs.is_pruned(record) else float)(numbers[metric])

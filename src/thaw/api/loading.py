"""``thaw.load``: from a directory to a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from thaw.api.errors import as_value_errors
from thaw.api.run import Run
from thaw.commands.choices import choice
from thaw.commands.selection import run_directory
from thaw.commands.trained import device as device_called
from thaw.training.loading import fit_other_prior, load_run


def load(
    run: str | Path,
    *,
    checkpoint: str = "last",
    weights: Literal["auto", "ema", "raw"] = "auto",
    prior: str | None = None,
    device: str = "auto",
    data_root: str | Path | None = None,
    trusted: Sequence[str] = (),
) -> Run:
    """A trained run, ready to sample, restore and be scored. Reads no data, and imports no trainer.

        run = thaw.load("outputs/2026-01-31/12-00-00_degradation=column_random")
        run = thaw.load("zoo/best_cold")

    Args:
        run: a run directory, a folder of weights that ``export.py`` wrote, or ``zoo/NAME``.
        checkpoint: ``last``, ``best``, or the path of a file.
        weights: ``ema`` (their average), ``raw``, or ``auto``: the average where one was kept.
        prior: a choice of the group ``prior`` in place of the run's own, such as ``gmm``; it is
            fitted to the training images, which are read.
        device: ``auto`` (a GPU where there is one), or a device of torch's, such as ``cpu``.
        data_root: folder of the data sets, where it is another than in training; only then is
            missing data fetched.
        trusted: further packages whose classes the run may name; ``__main__`` is the notebook.

    Raises:
        ValueError: there is no run, or its checkpoint cannot be used.
    """
    with as_value_errors(command="sample"):
        where, run_dir = device_called(device), run_directory(str(run))
        root = None if data_root is None else str(data_root)
        other = choice("prior", prior) if prior else None
        loaded = load_run(
            run_dir, checkpoint, None, list(trusted), root, weights=weights, prior=other
        )
        fit_other_prior(loaded)
    loaded.experiment.module.to(where)
    return Run(loaded)

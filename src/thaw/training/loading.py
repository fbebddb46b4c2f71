"""From a finished (or running) run directory back to its objects."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from omegaconf import DictConfig, OmegaConf

from thaw import runs
from thaw.checks import checked
from thaw.metrics.suite import ScoreSuite
from thaw.training.checkpoint_files import read_checkpoint
from thaw.training.compatibility import differing_tensors, listed, versions_in_words
from thaw.training.experiment import Experiment, build, fit_prior
from thaw.training.model import Model
from thaw.training.stored_targets import stored_config
from thaw.training.weights import read_weights


@dataclass(frozen=True)
class LoadedRun:
    """A run with the weights of one of its checkpoints, ``weights`` being ema or raw."""

    run_dir: Path
    checkpoint: Path
    config: DictConfig
    experiment: Experiment
    epoch: int
    weights: str
    has_other_prior: bool = False

    @property
    def prior(self) -> str:
        """The prior that replaces the run's own, in words; empty where none does."""
        return self.experiment.module.prior.describe() if self.has_other_prior else ""

    @property
    def source(self) -> dict[str, Any]:
        """The weights that were used, as kept beside what is measured with them."""
        return {"checkpoint": self.checkpoint.name, "epoch": self.epoch, "weights": self.weights}


@checked
def load_run(
    run_dir: Path,
    checkpoint: str = "last",
    sampler: DictConfig | None = None,
    trusted: Sequence[str] = (),
    data_root: str | None = None,
    weights: Literal["auto", "ema", "raw"] = "auto",
    prior: DictConfig | None = None,
    for_use: bool = True,
) -> LoadedRun:
    """The experiment of a run, its weights and prior read from a checkpoint.

    No data is read: another prior than the checkpoint's is left to :func:`fit_other_prior`.
    ValueError where there is no such checkpoint, or it is not a valid one.

    Args:
        run_dir: the run directory.
        checkpoint: ``last``, ``best`` or a file.
        sampler: with a ``_target_`` in place of the run's sampler, without one changes to it.
        trusted: further packages whose classes the checkpoint's configuration may name.
        data_root: folder of the data, if not that of training; only then is missing data fetched.
        weights: ``ema`` (their average), ``raw``, or ``auto``: the average where one was kept.
        prior: as ``sampler``.
        for_use: False loads no weights and fits nothing, to find errors at little cost.
    """
    path = checkpoint_path(run_dir, checkpoint)
    contents = _read(path)
    try:
        config = stored_config(contents["thaw"].get("config"), trusted)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    for name, chosen in (("sampler", sampler), ("prior", prior)):
        if chosen:
            config[name] = changed(config[name], chosen)
    experiment = _build(path, config, contents, data_root)
    module = experiment.module
    if for_use:
        _load_state(path, module, contents, with_prior=not prior)
    if weights == "ema" and module.ema is None:
        raise ValueError(f"{path} has no average of the weights (its run had ema=none)")
    if weights == "raw":
        module.ema = None
    kind = "raw" if module.ema is None else "ema"
    module.eval()
    # Saved inside an epoch's last hook, where Lightning has not counted that epoch yet.
    epoch = int(contents["epoch"]) + 1
    return LoadedRun(run_dir, path, config, experiment, epoch, kind, bool(prior))


def changed(own: DictConfig, chosen: DictConfig) -> Any:
    """A run's own node with what was ``chosen``: another in its place, or changes to it."""
    return chosen if "_target_" in chosen else OmegaConf.merge(own, chosen)


def _read(path: Path) -> dict[str, Any]:
    """A checkpoint; where the last one cannot be read, the error names the one before it."""
    if path.suffix == ".safetensors":
        return read_weights(path)
    try:
        return read_checkpoint(path)
    except ValueError as error:
        previous = path.with_name(runs.PREVIOUS_CHECKPOINT.name)
        if path.name != runs.LAST_CHECKPOINT.name or not previous.is_file():
            raise
        raise ValueError(f"{error}; the one before it: checkpoint={previous}") from error


def _build(
    path: Path, config: DictConfig, contents: dict[str, Any], data_root: str | None
) -> Experiment:
    """The experiment of a checkpoint's configuration; its data neither write nor augment."""
    try:
        if data_root is not None and "root" in config.data:
            config.data.root = data_root
        for key in {"cache", "augment"} & config.data.keys():
            config.data[key] = None
        experiment = build(config, contents["thaw"])
    except Exception as error:  # a file may hold anything where a number or a name should be
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}{versions_in_words(contents)}: {reason}") from error
    experiment.data.source.may_fetch = data_root is not None
    experiment.data.expect(contents["thaw"].get("dataset"), path)
    return experiment


def _load_state(path: Path, module: Model, contents: dict[str, Any], with_prior: bool) -> None:
    """Load the weights, and the prior or leave the module's own."""
    state = contents["state_dict"]
    weights = [tensor for key, tensor in state.items() if key.startswith("restorer.network.")]
    if any(tensor.dtype == torch.float64 for tensor in weights):  # trainer.precision=64-true
        module.double()
    if not with_prior:
        state = {key: value for key, value in state.items() if not key.startswith("prior.")}
        state |= module.prior.state_dict(prefix="prior.")
    wrong = differing_tensors(state, module.state_dict())
    reason = listed(wrong)
    if not wrong:
        try:
            module.load_state_dict(state)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
    if reason:
        raise ValueError(
            f"{path} does not fit its own configuration{versions_in_words(contents)}: {reason}"
        )


def fit_other_prior(run: LoadedRun) -> None:
    """Fit the prior to the training images where another than the checkpoint's was given."""
    if run.has_other_prior:
        try:
            run.experiment.data.setup()
        except (OSError, ValueError) as error:
            raise ValueError(f"a prior is fitted to training images: {error}") from error
        fit_prior(run.experiment)


def suite_with_reference(run: LoadedRun) -> ScoreSuite | None:
    """The run's suite, its reference fitted where it has none; None for a run without scores."""
    suite, data = run.experiment.suite, run.experiment.data
    if suite is not None and suite.reference is None:
        data.setup()
        suite.fit_reference(data.shown(data.train_images), data.shown(data.test_images))
    return suite


def checkpoint_path(run_dir: Path, checkpoint: str) -> Path:
    """The file that ``last``, ``best`` or a path means; a folder of weights has one alone."""
    if checkpoint == "last" and (run_dir / runs.WEIGHTS).is_file():
        return run_dir / runs.WEIGHTS
    own = {"last": run_dir / runs.LAST_CHECKPOINT, "best": run_dir / runs.BEST_CHECKPOINT}
    path = own.get(checkpoint, Path(checkpoint))
    if checkpoint not in own and path.is_dir():
        raise ValueError(f"checkpoint={checkpoint} is a folder (it takes last, best or a file)")
    if not path.exists():
        raise ValueError(f"no checkpoint at {path} (checkpoint= takes last, best or a file)")
    return path

"""From a finished (or running) run directory back to its objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from thaw import runs
from thaw.checks import check_choice
from thaw.training.checkpoint_files import read_checkpoint
from thaw.training.experiment import Experiment, build
from thaw.training.module import DiffusionModule

WEIGHTS = ("auto", "ema", "raw")
TRUSTED = ("thaw", "torch.optim", "torch.nn", "torchvision.transforms.v2", "pytorch_lightning")


@dataclass(frozen=True)
class LoadedRun:
    """A run with the weights of one of its checkpoints, ``weights`` being ema or raw.

    ``prior`` describes the one that replaces the run's own; empty where none does.
    """

    run_dir: Path
    checkpoint: Path
    config: DictConfig
    experiment: Experiment
    epoch: int
    weights: str
    prior: str = ""


def load_run(
    run_dir: Path,
    checkpoint: str = "last",
    sampler: DictConfig | None = None,
    trusted: Sequence[str] = (),
    data_root: str | None = None,
    weights: str = "auto",
    prior: DictConfig | None = None,
) -> LoadedRun:
    """The experiment of a run, its weights and prior read from a checkpoint.

    No data is read, but for a prior that is given here: it is fitted to the training images.

    Args:
        run_dir: the run directory.
        checkpoint: ``last``, ``best`` or a file.
        sampler: with a ``_target_`` in place of the run's sampler, without one changes to it.
        trusted: further packages whose classes the checkpoint's configuration may name.
        data_root: where the data lies on this machine, if not where it lay in training.
        weights: ``ema`` (their average), ``raw``, or ``auto``: the average where one was kept.
        prior: with a ``_target_`` in place of the run's prior, without one changes to it.

    Raises:
        ValueError: there is no such checkpoint, or it is not what it should be; or a prior needs
            training images that are not there.
    """
    check_choice("weights", weights, WEIGHTS)
    path = checkpoint_path(run_dir, checkpoint)
    contents = read_checkpoint(path)
    config = OmegaConf.create(contents["thaw"]["config"])
    check_trusted(config, (*TRUSTED, *trusted))
    for name, chosen in (("sampler", sampler), ("prior", prior)):
        if chosen:
            is_whole = "_target_" in chosen
            config[name] = chosen if is_whole else OmegaConf.merge(config[name], chosen)
    if data_root is not None and "root" in config.data:
        config.data.root = data_root
    experiment = build(config, contents["thaw"])
    module, state = experiment.module, contents["state_dict"]
    if prior:
        state = {key: value for key, value in state.items() if not key.startswith("prior.")}
        state |= module.prior.state_dict(prefix="prior.")
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit its own configuration: {error}") from error
    if prior:
        _fit_prior(experiment)
    kind = _choose_weights(module, weights, path)
    module.eval()
    # Saved inside an epoch's last hook, where Lightning has not counted that epoch yet.
    epoch = int(contents["epoch"]) + 1
    replaced = module.prior.describe() if prior else ""
    return LoadedRun(run_dir, path, config, experiment, epoch, kind, replaced)


def _fit_prior(experiment: Experiment) -> None:
    """Fit a prior that did not come with the checkpoint.

    Raises:
        ValueError: the training images cannot be read.
    """
    prior = experiment.module.prior
    try:
        experiment.data.setup()
    except (OSError, ValueError) as error:
        raise ValueError(f"a prior is fitted to training images: {error}") from error
    prior.fit(experiment.data.train_images, experiment.module.restorer.degradation)


def _choose_weights(module: DiffusionModule, weights: str, path: Path) -> str:
    """Leave the module with those it is to be evaluated with: ``ema`` or ``raw``."""
    if weights == "ema" and module.ema is None:
        raise ValueError(f"{path} holds no average of the weights (its run had ema=none)")
    if weights == "raw":
        module.ema = None
    return "raw" if module.ema is None else "ema"


def checkpoint_path(run_dir: Path, checkpoint: str) -> Path:
    """The file that ``last``, ``best`` or a path means.

    Raises:
        ValueError: it is not there.
    """
    named = {"last": run_dir / runs.LAST_CHECKPOINT, "best": run_dir / runs.BEST_CHECKPOINT}
    path = named.get(checkpoint, Path(checkpoint))
    if not path.is_file():
        raise ValueError(f"no checkpoint at {path} (checkpoint= takes last, best or a file)")
    return path


def check_trusted(config: Any, trusted: Sequence[str]) -> None:
    """Refuse a configuration from a file that names classes outside trusted packages.

    Raises:
        ValueError: naming the target.
    """
    if isinstance(config, str) or not hasattr(config, "__iter__"):
        return
    if isinstance(config, Mapping):
        target = config.get("_target_")
        if target and not any(str(target).startswith(f"{name}.") for name in trusted):
            raise ValueError(
                f"the checkpoint's configuration names {target}, which is outside the trusted "
                f"packages {', '.join(trusted)}; add it by trusted=[PACKAGE] if it is yours"
            )
        config = config.values()
    for entry in config:
        check_trusted(entry, trusted)

"""From a configuration to the objects of one experiment, checked before any work starts."""

from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from thaw.data.module import ImageDataModule
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.guidance import check_guidance
from thaw.diffusion.needs import Part, check_needs
from thaw.diffusion.objectives import Objective
from thaw.diffusion.predictions import Prediction
from thaw.diffusion.priors.base import Prior
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Sampler
from thaw.metrics.suite import ScoreSuite
from thaw.privates import torch as privates
from thaw.progress import progress
from thaw.training.choices import fitting
from thaw.training.memory import check_weights
from thaw.training.model import Model
from thaw.training.nodes import check_groups, check_keys, create, errors_at, parameters_of

MAX_COMPILED = 1000


@dataclass(frozen=True)
class Experiment:
    """The objects of one experiment; ``score_sampler`` and ``suite`` make the per-epoch scores."""

    data: ImageDataModule
    module: Model
    sampler: Sampler
    score_sampler: Sampler
    suite: ScoreSuite | None

    @property
    def restorer(self) -> Restorer:
        """The model that is evaluated: the average of its weights where one is kept."""
        return self.module.evaluated


def build(cfg: DictConfig, provenance: dict[str, Any]) -> Experiment:
    """Build and check everything that the configuration names; no data is read.

    ValueError: an unknown key, a value that is not allowed, or parts that do not fit.
    """
    check_groups(cfg)
    check_keys(cfg)
    data: ImageDataModule = create(cfg.data)
    context = {"image_shape": data.image_shape, "pixel_range": data.pixel_range}
    if cfg.get("schedule") is not None:
        # Before the degradation that it is part of, so that its errors name its own keys; also
        # where the degradation takes none.
        create(cfg.schedule)
    degradation: Degradation = create(cfg.degradation, **context)
    with errors_at("degradation"):
        data.use_partners(degradation.takes_partners)
    network = _make_network(cfg, degradation, context)
    prediction: Prediction[Any] = create(cfg.prediction)
    objective: Objective = create(cfg.objective)
    prior: Prior = create(cfg.prior, **context)
    sampler: Sampler = create(cfg.sampler)
    suite: ScoreSuite | None = create(cfg.metrics.suite) if cfg.metrics.suite else None
    if suite is not None:
        suite.check(data.source.name, data.image_shape)
    own: Sampler = create(cfg.metrics.sampler) if cfg.metrics.get("sampler") else sampler
    score_sampler = own.at_most(degradation.num_steps)
    _check_fit("prediction", prediction, degradation)
    _check_fit("objective/weighting", objective.weighting, degradation)
    _check_fit("objective/timesteps", objective.timesteps, degradation)
    _check_fit("prior", prior, degradation.end)
    with errors_at("prediction"):
        restorer = Restorer(network, degradation, prediction, data.pixel_range)
    with errors_at("prior"):
        prior.check(degradation)
    for name, each in {"sampler": sampler, "metrics.sampler": score_sampler}.items():
        check_sampler(each, restorer, name)
    module = Model(
        restorer,
        prior,
        objective,
        create(cfg.optimizer),
        create(cfg.lr_scheduler) if cfg.lr_scheduler else None,
        cfg.seed,
        provenance,
        create(cfg.ema, restorer=restorer) if cfg.get("ema") else None,
    )
    _try_one_loss(module, data)
    return Experiment(data, module, sampler, score_sampler, suite)


def compile_networks(
    experiment: Experiment, device: torch.device, accumulates: bool = False
) -> None:
    """Have torch.compile make kernels of the networks' own, in place, for each size of a batch.

    Weights, their names and checkpoints stay as they are. On a GPU the kernels of a call are
    launched together, as a CUDA graph, unless the run ``accumulates`` gradients from call to call;
    on a CPU it takes a C++ compiler.
    """
    try:
        torch.compile(torch.neg)(torch.zeros(1, device=device))
    except Exception as error:  # torch promises no type, and a missing compiler has three
        raise ValueError("compile=true, but torch.compile does not work here") from error
    # A sweep compiles for many sizes and modes in one process; torch gives up after eight.
    privates.set_recompile_limit(MAX_COMPILED)
    mode = "reduce-overhead" if device.type == "cuda" and not accumulates else None
    for network in {experiment.module.restorer.network, experiment.restorer.network}:
        # Kernels for any size would depend on which sizes came before: no resume would be exact.
        network.compile(mode=mode, dynamic=False)


def check_sampler(sampler: Sampler, restorer: Restorer, key: str = "sampler") -> None:
    """Refuse a sampler, or its settings, that does not fit the model."""
    _check_fit("sampler", sampler, restorer.degradation)
    _check_fit("sampler/grid", sampler.grid, restorer.degradation)
    with errors_at(key):
        sampler.check(restorer.degradation)
        check_guidance(restorer, sampler.guidance)


def _check_fit(group: str, part: Part, degradation: Degradation) -> None:
    """Refuse a part that needs another degradation, and name the choices that fit."""
    try:
        check_needs(part, degradation)
    except ValueError as error:
        others = " or ".join(fitting(group, type(degradation)))
        raise ValueError(f"{error}; choose {others}") from error


def _make_network(cfg: DictConfig, degradation: Degradation, context: dict[str, Any]) -> nn.Module:
    model = cfg.model
    extra_channels = 0 if degradation.condition is None else 1
    if extra_channels and "extra_channels" not in parameters_of(model._target_):
        raise ValueError(
            f"degradation.condition={degradation.condition} needs a network that takes "
            f"extra_channels, as model=cnn and model=unet do; {model._target_} does not"
        )
    known = {"num_steps": degradation.num_steps, "extra_channels": extra_channels}

    def network() -> nn.Module:
        found: nn.Module = create(model, **context | known)
        return found

    with errors_at("model"):
        check_weights(network)
    # A checkpoint's configuration has the parts of a model alone.
    is_last = cfg.get("channels_last", False)
    memory_format = torch.channels_last if is_last else torch.contiguous_format
    return network().to(memory_format=memory_format)


def check_classes(restorer: Restorer, data: ImageDataModule) -> None:
    """Refuse to train a class-conditional model on data with another number of classes.

    Not part of ``build``: the data may have to look into a folder, which sampling does not need.
    """
    if restorer.num_classes is not None and restorer.num_classes != data.num_classes:
        raise ValueError(
            f"model.num_classes={restorer.num_classes}, but {data.name} has {data.num_classes} "
            f"classes: give model.num_classes={data.num_classes}, or null for no labels"
        )


def labels_of(experiment: Experiment, split: str, most: int | None = None) -> Tensor | None:
    """The labels, int64 ``[N]``, of the first images of a split (train, val, test), once read.

    None of an unconditional model, which is told none.
    """
    if experiment.restorer.num_classes is None:
        return None
    labels: Tensor = getattr(experiment.data, f"{split}_labels")[:most]
    return labels


def fit_prior(experiment: Experiment) -> None:
    """Fit the prior to the training images, once read: by class, where a model is told it."""
    images, degradation = experiment.data.train_images, experiment.restorer.degradation
    prior = experiment.module.prior
    with errors_at("prior"), progress(f"fitting the prior, {prior.describe()}"):
        prior.fit(images, degradation, labels_of(experiment, "train"))


def _try_one_loss(module: Model, data: ImageDataModule) -> None:
    """Two blank images through the objective: misfits fail here."""
    with torch.no_grad(), errors_at("model"):
        x_0 = torch.zeros(2, *data.stored_shape)
        labels = torch.zeros(2, dtype=torch.int64)
        module.objective(module.restorer, x_0, torch.Generator().manual_seed(0), labels)


def check_optimizer(module: Model) -> None:
    """An optimiser and a schedule of its rate: misfits fail here.

    Not part of ``build``: torch imports its compiler with the first optimiser.
    """
    with errors_at("optimizer"):
        optimizer = module.optimizer(module.restorer.network.parameters())
    if module.lr_scheduler is not None:
        with errors_at("lr_scheduler"):
            module.lr_scheduler(optimizer, num_steps=1)


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as plain containers, interpolations resolved."""
    container = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}

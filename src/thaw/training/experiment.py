"""From a configuration to the objects of one experiment, checked before any work starts."""

import copy
import inspect
from dataclasses import dataclass
from typing import Any

import torch
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from thaw.checks import check_whole
from thaw.data.module import ImageDataModule
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.guidance import check_guidance
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Sampler
from thaw.metrics.suite import ScoreSuite
from thaw.training.module import DiffusionModule

RESERVED = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}


@dataclass(frozen=True)
class Experiment:
    """The objects of one experiment; ``score_sampler`` and ``suite`` make the per-epoch scores."""

    data: ImageDataModule
    module: DiffusionModule
    sampler: Sampler
    score_sampler: Sampler
    suite: ScoreSuite | None

    @property
    def restorer(self) -> Restorer:
        """The model that is evaluated: the average of its weights where one is kept."""
        return self.module.evaluated


def build(cfg: DictConfig, provenance: dict[str, Any]) -> Experiment:
    """Build and check everything that the configuration names; no data is read.

    Raises:
        ValueError: an unknown key, a value that is not allowed, or parts that do not fit.
    """
    check_keys(cfg)
    data: ImageDataModule = make(cfg.data)
    context = {"image_shape": data.image_shape, "pixel_range": data.pixel_range}
    degradation = make(cfg.degradation, **context)
    network = _make_network(cfg.model, degradation, context)
    restorer = Restorer(network, degradation, make(cfg.prediction), data.pixel_range)
    prior = make(cfg.prior, **context)
    prior.check(degradation)
    sampler: Sampler = make(cfg.sampler)
    sampler.check(degradation)
    suite, score_sampler = _make_scores(cfg.metrics, data, sampler)
    # Few steps, or all where the degradation has no more.
    score_sampler.num_steps = min(
        score_sampler.num_steps or degradation.num_steps, degradation.num_steps
    )
    score_sampler.check(degradation)
    for each in (sampler, score_sampler):
        check_guidance(restorer, each.guidance)
    module = DiffusionModule(
        restorer,
        prior,
        make(cfg.objective),
        make(cfg.optimizer),
        make(cfg.lr_scheduler) if cfg.lr_scheduler else None,
        cfg.seed,
        provenance,
        make(cfg.ema, restorer=restorer) if cfg.get("ema") else None,
    )
    _try_one_step(module, data)
    return Experiment(data, module, sampler, score_sampler, suite)


def make(node: DictConfig, **context: Any) -> Any:
    """The object that a ``_target_`` node describes, given those of ``context`` it asks for.

    Raises:
        ValueError: a nested object could not be made; its own message.
    """
    if node.get("_partial_"):
        return instantiate(node, _convert_="all")
    parameters = inspect.signature(get_object(node._target_)).parameters
    wanted = {key: context[key] for key in context if key in parameters and key not in node}
    return instantiate(node, _partial_=True, _convert_="all")(**wanted)


def _make_network(
    model: DictConfig, degradation: Degradation, context: dict[str, Any]
) -> nn.Module:
    extra_channels = 0 if degradation.condition is None else 1
    parameters = inspect.signature(get_object(model._target_)).parameters
    if extra_channels and "extra_channels" not in parameters:
        raise ValueError(
            f"degradation.condition={degradation.condition} needs a network that takes "
            f"extra_channels, as model=cnn and model=unet do; {model._target_} does not"
        )
    network: nn.Module = make(
        model, **context, num_steps=degradation.num_steps, extra_channels=extra_channels
    )
    return network


def check_keys(cfg: Any, path: str = "") -> None:
    """Refuse a key that the target of its node does not take.

    Raises:
        ValueError: naming the key and those allowed.
    """
    if not isinstance(cfg, DictConfig) or cfg._is_none():
        return
    if "_target_" in cfg:
        parameters = inspect.signature(get_object(cfg._target_)).parameters
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        keys = list(map(str, cfg))
        unknown = [key for key in keys if key not in RESERVED and key not in parameters]
        if unknown and not takes_any:
            allowed = ", ".join(sorted(set(keys) & set(parameters)))
            raise ValueError(f"unknown key {path}{unknown[0]}; allowed: {allowed}")
    for key in cfg:
        if not OmegaConf.is_missing(cfg, key):
            check_keys(cfg[key], f"{path}{key!s}.")


def _make_scores(
    metrics: DictConfig, data: ImageDataModule, sampler: Sampler
) -> tuple[ScoreSuite | None, Sampler]:
    check_whole("metrics.num_samples", metrics.num_samples, 0)
    check_whole("metrics.final_num_samples", metrics.final_num_samples, 0)
    for key in ("num_restored", "num_restored_each_epoch"):
        # A run of an earlier version may have no such key.
        check_whole(f"metrics.{key}", metrics.get(key, 0), 0)
    check_whole("metrics.every_n_epochs", metrics.every_n_epochs)
    check_whole("metrics.batch_size", metrics.batch_size)
    score_sampler = make(metrics.sampler) if metrics.get("sampler") else copy.copy(sampler)
    if not metrics.suite:
        return None, score_sampler
    suite: ScoreSuite = make(metrics.suite)
    suite.check(data.source.name, data.image_shape)
    return suite, score_sampler


def check_classes(restorer: Restorer, data: ImageDataModule) -> None:
    """Refuse to train a class-conditional model on data with another number of classes.

    Not part of ``build``: the data may have to look into a folder, which sampling does not need.

    Raises:
        ValueError: naming both numbers.
    """
    if restorer.num_classes is not None and restorer.num_classes != data.num_classes:
        raise ValueError(
            f"model.num_classes={restorer.num_classes}, but {data.name} has {data.num_classes} "
            f"classes: give model.num_classes={data.num_classes}, or null for no labels"
        )


def _try_one_step(module: DiffusionModule, data: ImageDataModule) -> None:
    """Two blank images through the objective, an optimiser, a schedule: misfits fail here."""
    with torch.no_grad():
        x_0 = torch.zeros(2, *data.image_shape)
        labels = torch.zeros(2, dtype=torch.int64)
        module.objective(module.restorer, x_0, torch.Generator().manual_seed(0), labels)
    optimizer = module.optimizer(module.restorer.network.parameters())
    if module.lr_scheduler is not None:
        module.lr_scheduler(optimizer, num_steps=1)


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as plain containers, interpolations resolved."""
    container = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}

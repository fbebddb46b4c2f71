"""Choices of a configuration group by their names: samplers and priors for a loaded run."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from thaw.commands.composing import composed
from thaw.diffusion.samplers.base import Sampler
from thaw.training.loading import changed
from thaw.training.nodes import check_keys, create


def choice(group: str, name: str) -> DictConfig:
    """The node of a choice of a group, as ``sample.py`` composes it."""
    argument = f"{'+' if group == 'sampler/grid' else ''}{group}={name}"
    node: DictConfig = OmegaConf.select(composed("sample", [argument]), group.replace("/", "."))
    return node


def make_sampler(own: DictConfig, name: str | None, settings: Mapping[str, Any]) -> Sampler[Any]:
    """The sampler of that name, or the run's ``own``, with other settings."""
    given = dict(settings)
    if isinstance(given.get("grid"), str):
        given["grid"] = choice("sampler/grid", given["grid"])
    node = OmegaConf.create({"sampler": changed(own, choice("sampler", name)) if name else own})
    OmegaConf.set_struct(node, False)
    node.sampler = OmegaConf.merge(node.sampler, given)
    check_keys(node)
    made: Sampler[Any] = create(node.sampler)
    return made

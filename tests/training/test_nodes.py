"""Nodes of a configuration: what is looked through, what is made, and who is named when not."""

import re

import pytest
from omegaconf import DictConfig, OmegaConf
from torch import nn

from thaw.diffusion.timesteps import UniformTimesteps
from thaw.groups import OF_A_MODEL
from thaw.training.nodes import (
    check_groups,
    check_keys,
    create,
    members,
)


def node(key: str, target: str, **values: object) -> DictConfig:
    """A node at ``key`` of a root."""
    return OmegaConf.create({key: {"_target_": target} | values})[key]


def test_what_is_made_may_ask_for_what_the_experiment_knows() -> None:
    network = create(
        node("model", "thaw.networks.cnn.CNN", hidden=[4]), image_shape=(1, 8, 8), num_steps=3, x=1
    )
    assert isinstance(network, nn.Module)


@pytest.mark.parametrize(
    ("target", "values", "line"),
    [
        (
            "thaw.networks.cnn.CNN",
            {"hidden": [], "image_shape": [1, 8, 8], "num_steps": 3},
            r"^model\.hidden must be a list of at least 1",
        ),
        ("thaw.networks.cnn.CNN", {"image_shape": "ab"}, r"^model\.num_steps is missing$"),
        ("fractions.Fraction", {"numerator": "x"}, "^model: Invalid literal for Fraction: 'x'$"),
        ("thaw.nowhere.Network", {}, r"^model: Error (loading|locating)"),
        (
            "thaw.diffusion.schedules.linear",
            {"timesteps": 10**12},
            "^model: needs 7,451 GiB of mem",
        ),
    ],
)
def test_an_error_names_the_node(target: str, values: dict[str, object], line: str) -> None:
    with pytest.raises(ValueError, match=line) as error:
        create(node("model", target, **values), pixel_range=None)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("place", "target", "kind"),
    [
        ("sampler", "thaw.diffusion.predictions.Clean", "Sampler"),
        ("schedule", "thaw.training.lr_schedules.cosine", "Tensor"),
        ("callbacks.x", "thaw.networks.cnn.CNN", "Callback"),
        ("data.source", "thaw.networks.cnn.CNN", "Source"),
    ],
)
def test_a_class_of_another_kind_is_refused_before_anything_is_built(
    place: str, target: str, kind: str
) -> None:
    line = f"{place}._target_={target} is not allowed: {place} must be a {kind}, and "
    cfg = OmegaConf.create({})
    OmegaConf.update(cfg, f"{place}._target_", target)
    with pytest.raises(ValueError, match=f"^{re.escape(line)}"):
        check_keys(cfg)


def returns_anything():  # type: ignore[no-untyped-def]
    """Of a kind that nobody knows before it is called."""


def returns_a_network() -> nn.Module:
    return nn.Identity()


def test_a_function_may_say_which_kind_it_returns() -> None:
    for name in ("returns_a_network", "returns_anything"):
        check_keys(OmegaConf.create({"model": {"_target_": f"{__name__}.{name}"}}))
    with pytest.raises(ValueError, match="prior must be a Prior, and returns_a_network is not"):
        check_keys(OmegaConf.create({"prior": {"_target_": f"{__name__}.returns_a_network"}}))


@pytest.mark.parametrize(
    ("cfg", "line"),
    [
        ({"_target_": "torch.nn.Conv2d", "width": 3}, "unknown key x.width"),
        ({"_target_": 5}, "x._target_ must be text, got 5"),
        ({"_target_": "torch.nn.Nothing"}, "x._target_=torch.nn.Nothing: "),
        ({"_target_": "random"}, "x._target_ must be a class or a function, got random"),
        # Inherits the constructor of nn.Module, which takes anything and refuses it later.
        (
            {"_target_": f"{UniformTimesteps.__module__}.UniformTimesteps", "hystory": 3},
            "unknown key x.hystory",
        ),
        (
            {
                "transforms": [
                    {"_target_": "torchvision.transforms.v2.RandomHorizontalFlip", "q": 1}
                ]
            },
            "unknown key x.transforms.0.q",
        ),
        ({"_target_": "torch.optim.Adam", "lr": "fast"}, "x.lr must be a Tensor or a number"),
    ],
)
def test_a_wrong_key_or_value_is_named(cfg: dict[str, object], line: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(line)}"):
        check_keys(OmegaConf.create({"x": cfg}))


def test_the_groups_are_looked_at_without_an_import() -> None:
    """A configuration from a file has not been checked yet."""
    parts = {name: {"_target_": "no_such_package.Part"} for name in OF_A_MODEL}
    cfg = OmegaConf.create(parts | {"metrics": {"suite": None}, "lr_scheduler": None})
    check_groups(cfg)
    cfg.metrics.suite = 5
    with pytest.raises(ValueError, match="metrics.suite must be null or one of .*, got 5"):
        check_groups(cfg)
    del cfg["sampler"]
    with pytest.raises(ValueError, match="sampler must be one of the choices of sampler"):
        check_groups(cfg)


def test_members_are_nodes_or_null() -> None:
    cfg = OmegaConf.create({"callbacks": {"a": {"_target_": "x"}, "b": None}, "logger": "???"})
    assert list(members(cfg, "callbacks")) == ["a"]
    assert members(cfg, "logger") == {}
    cfg.callbacks.c = 5
    with pytest.raises(ValueError, match=r"callbacks\.c must be null or have a _target_, got 5"):
        members(cfg, "callbacks")
    with pytest.raises(ValueError, match="callbacks must hold members by name"):
        members(OmegaConf.create({"callbacks": [1]}), "callbacks")

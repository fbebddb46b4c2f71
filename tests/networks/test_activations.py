"""Activations by name: each is the function of that name."""

from typing import get_args

import pytest
import torch
import torch.nn.functional as F

from thaw.networks.activations import ACTIVATIONS, Activation
from thaw.networks.cnn import CNN

FUNCTIONS = {
    "gelu": F.gelu,
    "selu": F.selu,
    "relu": F.relu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "mish": F.mish,
    "elu": F.elu,
    "leaky_relu": F.leaky_relu,
    "softplus": F.softplus,
    "sigmoid": torch.sigmoid,
}


def test_there_are_these() -> None:
    assert set(ACTIVATIONS) == set(get_args(Activation)) == set(FUNCTIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_each_name_is_its_function_and_builds_a_network(name: str) -> None:
    x = torch.linspace(-4, 4, 101)
    assert torch.equal(ACTIVATIONS[name]()(x), FUNCTIONS[name](x))
    network = CNN((1, 4, 4), 10, hidden=[2, 2], activation=name)
    kind = ACTIVATIONS[name]
    assert sum(isinstance(module, kind) for module in network.modules()) == 2 + 3
    assert network(torch.randn(2, 1, 4, 4), torch.tensor([1, 10])).isfinite().all()

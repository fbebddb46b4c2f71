"""Activation functions by their plain names."""

from typing import Literal

from torch import nn

Activation = Literal[
    "gelu", "selu", "relu", "silu", "tanh", "mish", "elu", "leaky_relu", "softplus", "sigmoid"
]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "gelu": nn.GELU,
    "selu": nn.SELU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "mish": nn.Mish,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
    "softplus": nn.Softplus,
    "sigmoid": nn.Sigmoid,
}

"""Activation functions by their plain names."""

from torch import nn

from thaw.checks import check_choice

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


def activation(name: str) -> nn.Module:
    """A new activation module.

    Raises:
        ValueError: unknown name; the choices are listed.
    """
    check_choice("model.activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]()

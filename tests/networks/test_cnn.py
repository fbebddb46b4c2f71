"""The CNN against a plain second implementation of its description, on the same weights."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from thaw.networks.cnn import CNN

MNIST_SHAPE = (1, 28, 28)
FREQUENCIES = [0.0] + [2 * math.pi * 1.5**i for i in range(15)]


def as_described(
    weights: dict[str, Tensor],
    x_t: Tensor,
    t: Tensor,
    num_steps: int,
    act: Callable[[Tensor], Tensor] = F.gelu,
) -> Tensor:
    """The study's CNN, line by line.

    Hidden blocks are convolution (zero padding), LayerNorm over (C, H, W), activation. A time
    embedding is added to the input of the second block: 16 frequencies, 0 and 2 pi 1.5^i for i =
    0..14; sin and cos - 1 of (t / T) times each; an MLP 32-128-128-128-(first hidden). Last, one
    plain convolution. Weights are read in the order in which the description names the layers.
    """
    names = sorted({name.rpartition(".")[0] for name in weights if name.startswith("blocks.")})
    h = x_t
    for number in range(len(names) // 2):
        conv, norm = f"blocks.{number}.0", f"blocks.{number}.1"
        kernel = weights[f"{conv}.weight"]
        h = F.pad(h, [kernel.shape[-1] // 2] * 4)
        h = F.conv2d(h, kernel, weights[f"{conv}.bias"])
        flat = h.flatten(1)
        centred = flat - flat.mean(1, keepdim=True)
        h = (centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()).view_as(h)
        h = act(h * weights[f"{norm}.weight"] + weights[f"{norm}.bias"])
        if number == 0:
            phases = [[step / num_steps * w for w in FREQUENCIES] for step in t.tolist()]
            rows = [[*map(math.sin, row), *(math.cos(p) - 1 for p in row)] for row in phases]
            e = torch.tensor(rows, dtype=h.dtype)
            for layer in (0, 2, 4, 6):
                e = e @ weights[f"time_embedding.mlp.{layer}.weight"].T
                e = e + weights[f"time_embedding.mlp.{layer}.bias"]
                e = act(e) if layer < 6 else e
            h = h + e.view(len(t), -1, 1, 1)
    kernel = weights["last.weight"]
    return F.conv2d(F.pad(h, [kernel.shape[-1] // 2] * 4), kernel, weights["last.bias"])


def exact(network: CNN) -> CNN:
    """In float64, with weights far from their initial values, so that gains of 1 and zeros show.

    The table of frequencies is float32, hence 1e-4 off in phases of up to 1,834 radians: here it
    is replaced by its exact values once it has been compared with them.
    """
    network.double()
    frequencies = torch.tensor(FREQUENCIES, dtype=torch.float64)
    torch.testing.assert_close(network.time_embedding.frequencies, frequencies, rtol=1e-7, atol=0)
    network.time_embedding.frequencies = frequencies
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=draws))
    return network


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_it_has_the_studys_number_of_parameters() -> None:
    """Each layer's count by hand: convolutions, LayerNorms over (C, 28, 28), the MLP."""
    convolutions = [1 * 16 * 49 + 16, 16 * 32 * 49 + 32, 32 * 32 * 49 + 32, 32 * 16 * 49 + 16]
    norms = [2 * width * 28 * 28 for width in (16, 32, 32, 16)]
    mlp = [32 * 128 + 128, 128 * 128 + 128, 128 * 128 + 128, 128 * 16 + 16]
    network = CNN(MNIST_SHAPE, num_steps=1000)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == sum(convolutions) + sum(norms) + sum(mlp) + 16 * 9 + 1 == 291_217


@pytest.mark.parametrize(
    ("name", "act"), [("gelu", F.gelu), ("selu", F.selu)], ids=["gelu", "selu"]
)
def test_it_is_its_description(name: str, act: Callable[[Tensor], Tensor]) -> None:
    network = exact(CNN(MNIST_SHAPE, num_steps=1024, activation=name))
    # t / T is computed in float32, exactly so for a power of two.
    x_t, t = normal(3, *MNIST_SHAPE), torch.tensor([1, 17, 1024])
    expected = as_described(dict(network.state_dict()), x_t, t, 1024, act)
    torch.testing.assert_close(network(x_t, t), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((3, 6, 10), {"hidden": [5, 2]}),
        ((1, 5, 4), {"hidden": (3,), "kernel_size": 3, "last_kernel_size": 5}),
        ((2, 7, 7), {"hidden": [4, 4, 4, 4, 4], "kernel_size": 1, "last_kernel_size": 1}),
    ],
)
def test_other_widths_kernels_and_shapes_follow_it_too(
    shape: tuple[int, int, int], options: dict[str, object]
) -> None:
    network = exact(CNN(shape, 32, **options))  # type: ignore[arg-type]
    x_t, t = normal(3, *shape), torch.tensor([1, 14, 32])
    output = network(x_t, t)
    assert output.shape == x_t.shape
    expected = as_described(dict(network.state_dict()), x_t, t, 32)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-9)

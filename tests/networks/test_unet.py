"""The U-Net: its blocks by their formulas, its start, and that every part of it takes part."""

import math
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn

from thaw.networks.unet import Attention, ResidualBlock, UNet

T = TypeVar("T", bound=nn.Module)


def randomised(module: T) -> T:
    """Weights away from the zeros that blocks start with."""
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draws))
    return module


def small(shape: tuple[int, int, int] = (1, 12, 12), **options: object) -> UNet:
    arguments = {"width": 8, "multipliers": [1, 2], **options}
    return UNet(shape, num_steps=10, **arguments)  # type: ignore[arg-type]


def test_it_starts_as_a_constant_whatever_the_image() -> None:
    """The last convolution starts at zero: the first prediction is its bias."""
    network = small((3, 12, 12))
    bias = network.last[-1].bias
    output = network(torch.randn(2, 3, 12, 12), torch.tensor([1, 10]))
    assert torch.equal(output, bias.view(1, 3, 1, 1).expand(2, 3, 12, 12))


def test_a_residual_block_starts_as_its_shortcut() -> None:
    h, e = torch.randn(2, 8, 5, 5), torch.randn(2, 16)
    same = ResidualBlock(8, 8, embedding=16, dropout=0.0, activation="silu")
    torch.testing.assert_close(same(h, e), h + same.outer[-1].bias.view(1, -1, 1, 1))
    wider = ResidualBlock(8, 16, embedding=16, dropout=0.0, activation="silu")
    expected = wider.shortcut(h) + wider.outer[-1].bias.view(1, -1, 1, 1)
    torch.testing.assert_close(wider(h, e), expected)


def test_attention_is_softmax_attention_over_all_positions() -> None:
    attention = randomised(Attention(8)).double()
    h = torch.randn(2, 8, 3, 4, dtype=torch.float64)
    mixed = attention(h, torch.empty(0))
    weight, bias = attention.qkv.weight[:, :, 0, 0], attention.qkv.bias
    normed = attention.norm(h)
    for b in range(2):
        positions = [normed[b, :, y, x] for y in range(3) for x in range(4)]
        q, k, v = zip(*[(weight @ p + bias).split(8) for p in positions], strict=True)
        for number, (query, old) in enumerate(zip(q, h[b].flatten(1).T, strict=True)):
            scores = [(query @ key).item() / math.sqrt(8) for key in k]
            total = sum(map(math.exp, scores))
            seen: Tensor = sum(  # type: ignore[assignment]
                math.exp(score) / total * value for score, value in zip(scores, v, strict=True)
            )
            out = attention.out.weight[:, :, 0, 0] @ seen + attention.out.bias
            torch.testing.assert_close(mixed[b].flatten(1)[:, number], old + out)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((3, 7, 10), {}),
        ((1, 1, 5), {"multipliers": [1, 2, 3]}),
        ((2, 8, 8), {"multipliers": (2,), "num_blocks": 2}),
    ],
)
def test_any_size_keeps_its_shape_and_batched_equals_one_by_one(
    shape: tuple[int, int, int], options: dict[str, object]
) -> None:
    network = randomised(small(shape, **options)).double()
    x_t, t = torch.randn(3, *shape, dtype=torch.float64), torch.tensor([1, 10, 5])
    output = network(x_t, t)
    assert output.shape == x_t.shape
    alone = torch.cat([network(x_t[k : k + 1], t[k : k + 1]) for k in range(3)])
    torch.testing.assert_close(output, alone, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("num_blocks", "attention_size"), [(1, 0), (2, 6), (1, 12)])
def test_every_parameter_learns(num_blocks: int, attention_size: int) -> None:
    options = {"num_blocks": num_blocks, "attention_size": attention_size}
    network = randomised(small(**options)).double()
    x_t = torch.randn(8, 1, 12, 12, dtype=torch.float64)
    network(x_t, torch.arange(1, 9)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name

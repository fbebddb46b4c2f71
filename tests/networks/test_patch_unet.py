"""The U-Net on patches: its parts by their formulas, any size of image, what it sees."""

import math

import pytest
import torch
from torch import nn

from thaw.networks.patch_unet import Block, ChannelNorm, PatchUNet


def randomised(module: nn.Module) -> nn.Module:
    """In float64, weights away from the zeros that blocks start with."""
    module.double()
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draws))
    return module


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_the_norm_is_that_of_each_position_over_its_channels() -> None:
    norm, h = randomised(ChannelNorm(5)), normal(2, 5, 3, 4)
    found = norm(h)
    for b, y, x in ((0, 0, 0), (1, 2, 3)):
        vector = h[b, :, y, x].tolist()
        size = math.sqrt(sum(value**2 for value in vector) / 5 + 1e-5)
        expected = [
            gain * value / size for gain, value in zip(norm.gain[:, 0, 0], vector, strict=True)
        ]
        torch.testing.assert_close(found[b, :, y, x], torch.stack(expected))


def test_the_norm_is_torchs_over_the_channels() -> None:
    norm, h = randomised(ChannelNorm(5)), normal(2, 5, 3, 4)
    expected = nn.functional.rms_norm(h.movedim(1, -1), (5,), norm.gain.flatten(), eps=1e-5)
    torch.testing.assert_close(norm(h), expected.movedim(-1, 1))


def test_a_block_starts_as_the_identity_and_is_its_formula() -> None:
    h, embedding = normal(2, 4, 5, 6), normal(2, 8)
    block = Block(4, 8, "silu").double()
    assert torch.equal(block(h, embedding), h)
    randomised(block)
    inner = block.inner[2](nn.functional.silu(block.inner[0](h)))
    scale, shift = block.modulate(embedding)[..., None, None].chunk(2, dim=1)
    modulated = block.inner[3](inner) * (1 + scale) + shift
    expected = h + block.outer[1](nn.functional.silu(modulated))
    torch.testing.assert_close(block(h, embedding), expected)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((1, 28, 28), {}),
        ((3, 7, 10), {}),
        ((1, 1, 5), {"depth": 2, "middle": 1}),
        ((2, 8, 9), {"patch": 4}),
        ((1, 6, 6), {"patch": 1}),
    ],
)
def test_any_size_keeps_its_shape_and_batched_equals_one_by_one(
    shape: tuple[int, int, int], options: dict[str, int]
) -> None:
    network = randomised(PatchUNet(shape, 10, width=6, **options))
    x_t, t = normal(3, *shape), torch.tensor([1, 10, 5])
    output = network(x_t, t)
    assert output.shape == x_t.shape
    alone = torch.cat([network(x_t[k : k + 1], t[k : k + 1]) for k in range(3)])
    torch.testing.assert_close(output, alone)


def test_each_pixel_reaches_its_own_and_t_and_every_weight_take_part() -> None:
    network = randomised(PatchUNet((1, 8, 8), 10, width=6, num_classes=3))
    x_t = normal(2, 1, 8, 8).requires_grad_()
    output = network(x_t, torch.tensor([3, 7]), torch.tensor([0, 2]))
    (jacobian,) = torch.autograd.grad(output[0, 0, 5, 2], x_t, retain_graph=True)
    assert jacobian[0, 0, 5, 2] != 0
    assert not jacobian[1].any()
    output.square().sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in network.parameters())


def test_the_table_of_positions_tells_places_apart() -> None:
    """On a constant image a network without it is the same at every place far from the edges."""
    network = randomised(PatchUNet((1, 64, 64), 10, width=4))
    x_t, t = torch.zeros(1, 1, 64, 64, dtype=torch.float64), torch.tensor([5])
    with torch.no_grad():
        assert network(x_t, t)[0, 0, 28:36:4, 28:36:4].std() > 1e-3
        network.position.zero_()
        middle = network(x_t, t)[0, 0, 28:36:4, 28:36:4]
    torch.testing.assert_close(middle, middle[:1, :1].expand(2, 2))

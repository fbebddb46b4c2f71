"""Class labels in all networks: none is the unconditional network, each shifts the embedding."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from thaw.networks.cnn import CNN
from thaw.networks.dit import DiT
from thaw.networks.patch_unet import PatchUNet
from thaw.networks.unet import UNet

SHAPE = (1, 8, 8)
Make = Callable[..., CNN | UNet | PatchUNet | DiT]


def cnn(**options: object) -> CNN:
    return CNN(SHAPE, 10, hidden=[4, 3], kernel_size=3, **options)  # type: ignore[arg-type]


def unet(**options: object) -> UNet:
    return UNet(SHAPE, 10, width=8, multipliers=[1, 2], **options)  # type: ignore[arg-type]


def patch_unet(**options: object) -> PatchUNet:
    return PatchUNet(SHAPE, 10, width=6, **options)  # type: ignore[arg-type]


def dit(**options: object) -> DiT:
    return DiT(SHAPE, 10, width=16, depth=2, **options)  # type: ignore[arg-type]


@pytest.fixture(params=[cnn, unet, patch_unet, dit])
def make(request: pytest.FixtureRequest) -> Make:
    """Networks of the same weights at every call, none of them at the zeros that blocks start with.

    The unconditional parts are drawn first, so they are the same with labels and without.
    """

    def made(**options: object) -> nn.Module:
        torch.manual_seed(0)
        network = request.param(**options).double()
        draws = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=draws))
        return network

    return made


def batch(size: int = 4) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(2)
    x_t = torch.randn(size, *SHAPE, generator=draws, dtype=torch.float64)
    return x_t, torch.arange(1, size + 1)


@pytest.mark.parametrize("build", [cnn, unet, patch_unet, dit])
def test_without_classes_nothing_is_added_and_with_them_the_rest_starts_the_same(
    build: Make,
) -> None:
    torch.manual_seed(3)
    plain = build().state_dict()
    torch.manual_seed(3)
    conditional = build(num_classes=5).state_dict()
    assert conditional.keys() - plain.keys() == {"label_embedding.weight"}
    for name, weight in plain.items():
        assert torch.equal(weight, conditional[name]), name


def test_no_label_is_the_unconditional_network(make: Make) -> None:
    (x_t, t), network = batch(), make(num_classes=5)
    expected = make()(x_t, t)
    assert torch.equal(network(x_t, t), expected)
    assert torch.equal(network(x_t, t, torch.full((4,), -1)), expected)
    assert not torch.allclose(network(x_t, t, torch.tensor([0, 1, 2, 3])), expected)


def test_a_label_is_its_row_added_to_the_embedding_of_the_step(make: Make) -> None:
    """So its effect is that of the same row in the bias of the time embedding's last layer."""
    (x_t, t), network = batch(3), make(num_classes=5)
    labels = torch.tensor([4, -1, 0])
    output = network(x_t, t, labels)
    for k, label in enumerate(labels.tolist()):
        shifted = make()
        with torch.no_grad():
            if label >= 0:
                shifted.time_embedding.mlp[-1].bias.add_(network.label_embedding.weight[label])
        torch.testing.assert_close(output[k : k + 1], shifted(x_t[k : k + 1], t[k : k + 1]))


def test_the_gradient_reaches_the_rows_of_the_labels_given_and_no_others(make: Make) -> None:
    (x_t, t), network = batch(), make(num_classes=5)
    network(x_t, t, torch.tensor([3, -1, 1, -1])).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    reached = network.label_embedding.weight.grad.abs().amax(1) > 0
    assert reached.tolist() == [False, True, False, True, False]

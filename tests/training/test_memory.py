"""Whether network and step fit into the memory: what is counted, and what is refused before."""

from types import SimpleNamespace

import pytest
import torch

from thaw.diffusion.degradations.fade import Fade
from thaw.diffusion.predictions import Clean
from thaw.diffusion.restorer import Restorer
from thaw.networks.cnn import CNN
from thaw.pixels import PixelRange
from thaw.training import memory

SHAPE = (1, 8, 8)


@pytest.fixture
def restorer() -> Restorer:
    network = CNN(SHAPE, 3, [4, 6], kernel_size=3)
    return Restorer(network, Fade(3), Clean(), PixelRange(0, 1))


def test_what_the_layers_hand_on_is_counted(restorer: Restorer) -> None:
    # A convolution, a norm and an activation a block, the last convolution, and the embedding's
    # seven layers of 128, 128 and 4.
    blocks, last, embedding = 3 * (4 + 6) * 64, 64, 3 * 2 * 128 + 4
    assert memory.activations(restorer, SHAPE) == blocks + last + embedding


def test_a_network_is_weighed_before_it_is_allocated() -> None:
    sizes = []

    def build() -> CNN:
        network = CNN((1, 28, 28), 10, [100_000, 100_000])
        sizes.append({parameter.device.type for parameter in network.parameters()})
        return network

    before = torch.get_rng_state()
    with pytest.raises(
        ValueError, match=r"^the model's weights need about 1,827 GiB, and there are"
    ):
        memory.check_weights(build)
    assert sizes == [{"meta"}]
    assert torch.equal(torch.get_rng_state(), before)
    memory.check_weights(lambda: CNN(SHAPE, 3, [4, 6]))


def test_a_network_that_reads_values_while_it_is_built_is_not_weighed() -> None:
    def build() -> CNN:
        return CNN(SHAPE, 3, [int(torch.tensor(4).item())])

    memory.check_weights(build)


def test_too_large_a_batch_is_refused(restorer: Restorer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "largest_memory", lambda: 2**30)
    shapes = {"image_shape": SHAPE, "stored_shape": SHAPE}
    memory.check_memory(restorer, SimpleNamespace(batch_size=1000, **shapes))
    with pytest.raises(ValueError, match=r"^data.batch_size=1000000 images of \[1, 8, 8\] .* GiB"):
        memory.check_memory(restorer, SimpleNamespace(batch_size=10**6, **shapes))

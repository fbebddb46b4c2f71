"""Whether a step has room: what is counted, and what is refused before it is asked for."""

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


def test_nothing_is_drawn_and_nothing_stays_behind(restorer: Restorer) -> None:
    before = torch.get_rng_state()
    memory.activations(restorer, SHAPE)
    assert torch.equal(torch.get_rng_state(), before)
    assert restorer.training
    assert not any(module._forward_hooks for module in restorer.modules())


def test_too_large_a_batch_is_refused(restorer: Restorer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "largest_memory", lambda: 2**30)
    memory.check_memory(restorer, SimpleNamespace(batch_size=1000, image_shape=SHAPE))
    with pytest.raises(ValueError, match=r"^data.batch_size=1000000 images of \[1, 8, 8\] .* GiB"):
        memory.check_memory(restorer, SimpleNamespace(batch_size=10**6, image_shape=SHAPE))

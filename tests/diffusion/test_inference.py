"""A batch in chunks gives the same as the whole, and is halved where the memory is too small."""

import pytest
import torch
from torch import Tensor, nn

from thaw.diffusion.inference import MAX_ON_CPU, Chunked
from thaw.networks.cnn import CNN


class Limited(nn.Module):
    """x + t on a device whose memory holds ``limit`` images; remembers how many it was asked."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.asked: list[int] = []

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        self.asked.append(len(x_t))
        if len(x_t) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x_t + t[:, None, None, None]


def batch(num_images: int, device: str = "cpu") -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(0)
    x_t = torch.rand(num_images, 1, 28, 28, generator=draws).to(device)
    return x_t, torch.arange(1, num_images + 1, device=device)


@pytest.mark.parametrize("num_images", [1, MAX_ON_CPU, MAX_ON_CPU + 1, 3 * MAX_ON_CPU + 5])
def test_chunks_of_a_batch_add_up_to_the_whole(num_images: int) -> None:
    network = CNN((1, 28, 28), num_steps=1000, hidden=[4, 4]).eval()
    x_t, t = batch(num_images)
    with torch.inference_mode():
        torch.testing.assert_close(Chunked()(network, x_t, t), network(x_t, t))


def test_on_a_cpu_no_chunk_is_large_and_no_image_asked_twice() -> None:
    network = Limited(MAX_ON_CPU).eval()
    x_t, t = batch(2 * MAX_ON_CPU + 1)
    with torch.no_grad():
        assert torch.equal(Chunked()(network, x_t, t), x_t + t[:, None, None, None])
    assert network.asked == [MAX_ON_CPU, MAX_ON_CPU, 1]


def test_gradients_are_of_the_whole_batch() -> None:
    network = Limited(10**6)
    Chunked()(network, *batch(2 * MAX_ON_CPU))
    assert network.asked == [2 * MAX_ON_CPU]


def test_what_the_memory_does_not_hold_is_halved_until_it_does_and_remembered() -> None:
    network, chunked = Limited(60).eval(), Chunked()
    # The device "meta" stands for one with a memory of its own.
    x_t, t = batch(200, "meta")
    with torch.no_grad():
        assert chunked(network, x_t, t).shape == x_t.shape
        assert network.asked == [200, 100, 50, 50, 50, 50]
        chunked(network, x_t, t)
    assert network.asked[6:] == [50, 50, 50, 50]

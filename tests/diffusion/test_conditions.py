"""What a network may be told beside x_t: the mask of what is spoilt; orders drawn per image."""

import pytest
import torch
from theory_support import random_images, restorer_of
from torch import Generator, Tensor

from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.objectives import MSE
from thaw.diffusion.samplers.cold import Cold

SHAPE = (2, 6, 8)


def seeded() -> Generator:
    return Generator().manual_seed(0)


@pytest.mark.parametrize("axis", ["column", "row"])
def test_shuffled_is_a_fixed_order_of_each_images_own(axis: str) -> None:
    shuffled = LineAverage(SHAPE, axis, "shuffled")
    last = shuffled.num_steps
    x_0 = random_images(40, *SHAPE)
    noise = shuffled.draw_noise(x_0, seeded())
    assert torch.equal(noise.sort(dim=1).values, torch.arange(1, last + 1).expand(40, last))
    assert len(noise.unique(dim=0)) > 30
    fixed = LineAverage(SHAPE, axis, "random")
    t = torch.arange(40) % (last + 1)
    for k in range(40):
        fixed.step_of_line.copy_(noise[k])
        alone = fixed(x_0[k : k + 1], t[k : k + 1], x_0.new_empty(1, 0))
        assert torch.equal(alone, shuffled(x_0, t, noise)[k : k + 1])


def test_orders_are_drawn_evenly() -> None:
    """Each line is as likely the first as any other: 4,000 draws, 5 standard errors."""
    noise = LineAverage(SHAPE, "column", "shuffled").draw_noise(torch.zeros(4000, *SHAPE), seeded())
    counts = noise.argmin(dim=1).bincount(minlength=8)
    assert ((counts - 500).abs() < 5 * (4000 * 1 / 8 * 7 / 8) ** 0.5).all()


@pytest.mark.parametrize("order", ["random", "shuffled"])
def test_training_and_sampling_show_the_network_the_mask_of_their_own_noise(order: str) -> None:
    degradation = LineAverage((1, 6, 8), "column", order, condition="mask")
    seen: list[tuple[Tensor, Tensor]] = []

    def network(x_t: Tensor, t: Tensor) -> Tensor:
        seen.append((x_t, t))
        return x_t[:, :1]

    restorer = restorer_of(network, degradation)
    x_0 = random_images(5, 1, 6, 8)
    MSE()(restorer, x_0, seeded())
    ((x_t, t),) = seen
    assert x_t.shape == (5, 2, 6, 8)
    assert torch.equal(x_t[:, 1:], (x_t[:, :1] != x_0).to(x_0.dtype))
    noise = degradation.draw_noise(x_0, seeded())
    seen.clear()
    Cold().sample(restorer, degradation.remainder(x_0), noise)
    assert [int(t[0]) for _, t in seen] == list(range(8, 0, -1))
    for x_t, t in seen:
        assert torch.equal(x_t[:, 1:], degradation.mask(x_0, t, noise))

"""Animorphosis: the mixture, and the bank that its partners come from."""

from dataclasses import dataclass

import pytest
import torch
from theory_support import RANGE, seeded
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from thaw.diffusion.degradations.animorph import Animorph, converted
from thaw.diffusion.schedules import cosine

SHAPE = (1, 8, 6)
SCHEDULE = cosine(20)


@dataclass(frozen=True)
class Images:
    images: Tensor


@dataclass(frozen=True)
class Numbered:
    """Training images each of its own shade, test images of others."""

    num_images: int = 40
    shape: tuple[int, ...] = SHAPE

    def load(self) -> tuple[Images, Images]:
        shades = torch.arange(self.num_images, dtype=torch.uint8).view(-1, 1, 1, 1)
        return Images(shades.expand(-1, *self.shape)), Images(shades[:5] + 200)


def animorph(num_partners: int = 30, partners: Numbered = Numbered(), **changes: int) -> Animorph:
    return Animorph(SHAPE, RANGE, SCHEDULE, partners, num_partners, **changes)


@pytest.fixture
def fitted() -> Animorph:
    degradation = animorph()
    degradation.fit(torch.zeros(3, *SHAPE, dtype=torch.uint8))
    return degradation


@pytest.fixture
def x_0() -> Tensor:
    return torch.rand(4, *SHAPE, generator=seeded(0)) - 0.5


def test_x_t_mixes_image_and_partner_by_the_schedule(fitted: Animorph, x_0: Tensor) -> None:
    z = fitted.draw_noise(x_0, seeded(1))
    t = torch.tensor([0, 7, 13, 20])
    kept = x_0.clone()
    x_t = fitted(x_0, t, z)
    assert torch.equal(x_0, kept)
    assert torch.equal(x_t[0], x_0[0])
    signal, sigma = SCHEDULE[t].view(-1, 2, 1, 1, 1).unbind(1)
    expected = signal * x_0.double() + sigma * z.double()
    torch.testing.assert_close(x_t.double(), expected, rtol=0, atol=1e-6)
    assert fitted.num_steps == 20


def test_where_no_signal_is_left_the_last_image_is_the_partner(x_0: Tensor) -> None:
    degradation = Animorph(SHAPE, RANGE, cosine(20, zero_terminal_snr=True), Numbered(), 30)
    degradation.fit(torch.zeros(1, *SHAPE, dtype=torch.uint8))
    z = degradation.draw_noise(x_0, seeded(1))
    assert torch.equal(degradation(x_0, torch.full((4,), 20), z), z)


def test_partners_are_training_images_of_the_other_data_each_drawn_alike(fitted: Animorph) -> None:
    shades = fitted.bank[:, 0, 0, 0].tolist()
    assert len(set(shades)) == 30
    assert set(shades) <= set(range(40))
    z = fitted.draw_noise(torch.zeros(30_000, *SHAPE), seeded(1))
    assert (z == z[:, :1, :1, :1]).all()
    counts = RANGE.to_uint8(z[:, 0, 0, 0]).long().bincount(minlength=40)
    assert set(counts.nonzero().flatten().tolist()) == set(shades)
    assert (counts[shades] - 1000).abs().max() < 5 * 1000**0.5


def test_the_bank_is_its_seeds_and_repeats_where_there_are_too_few() -> None:
    def bank(seed: int, num_partners: int = 30) -> list[int]:
        degradation = animorph(num_partners, seed=seed)
        degradation.fit(torch.zeros(1, *SHAPE, dtype=torch.uint8))
        return degradation.bank[:, 0, 0, 0].tolist()

    assert bank(1) == bank(1)
    assert bank(1) != bank(2)
    assert sorted(bank(1, 100)) == sorted([*range(40), *range(40), *bank(1, 100)[:20]])


def coloured(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, generator=seeded(0), dtype=torch.uint8)


def test_partners_are_made_grey_or_coloured_and_resized_as_torchvision_does() -> None:
    images = coloured(5, 3, 20, 24)
    assert torch.equal(converted(images, (3, 20, 24)), images)
    for size in ([8, 6], [30, 40]):
        expected = transforms.resize(images, size, antialias=True).double()
        difference = converted(images, (3, *size)).double() - expected
        assert difference.abs().max() <= 1
    grey = converted(images, (1, 20, 24)).double()
    assert (grey - transforms.rgb_to_grayscale(images).double()).abs().max() <= 1
    alike = converted(images[:, :1], (3, 20, 24))
    assert torch.equal(alike, images[:, :1].expand(-1, 3, -1, -1))
    assert (converted(images, (1, 4, 4)).shape, images.shape) == ((5, 1, 4, 4), (5, 3, 20, 24))

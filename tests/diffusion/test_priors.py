"""Priors: the law of what is drawn, its noise, its state, its generator."""

import math

import pytest
import torch
from theory_support import RANGE, seeded
from torch import Tensor

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.priors.base import Prior
from thaw.diffusion.priors.empirical import Empirical
from thaw.diffusion.priors.gaussian_mixture import GaussianMixture
from thaw.diffusion.priors.kernel_density import KernelDensity
from thaw.diffusion.priors.normal import Normal
from thaw.diffusion.schedules import cosine, linear, quadratic

SHAPE = (2, 6, 4)
COLUMNS = LineAverage(SHAPE, "column", "random")
NOISE = Gaussian(linear(20))


@pytest.fixture
def images() -> Tensor:
    """Thirty images of random bytes."""
    return torch.randint(0, 256, (30, *SHAPE), generator=seeded(0), dtype=torch.uint8)


@pytest.fixture
def fitted(images: Tensor) -> Empirical:
    prior = Empirical(SHAPE, RANGE, num_images=30, seed=5)
    prior.fit(images, COLUMNS)
    return prior


def all_the_way(degradation: Degradation, x_0: Tensor, noise: Tensor) -> Tensor:
    x_T: Tensor = degradation(x_0, torch.full((len(x_0),), degradation.num_steps), noise)
    return x_T


def test_normal_is_standard_normal_and_its_own_noise() -> None:
    x_T, noise = Normal((1, 20, 50)).draw(100, NOISE, seeded(1))
    assert x_T.shape == (100, 1, 20, 50)
    assert torch.equal(noise, x_T)
    # 100,000 draws: four standard errors of mean, variance and fourth moment.
    assert abs(x_T.mean().item()) < 4 / math.sqrt(1e5)
    assert abs(x_T.var().item() - 1) < 4 * math.sqrt(2 / 1e5)
    assert abs((x_T**4).mean().item() - 3) < 4 * math.sqrt(96 / 1e5)


@pytest.mark.parametrize("degradation", [COLUMNS, NOISE], ids=["columns", "noise"])
def test_empirical_draws_are_training_images_degraded_all_the_way(
    fitted: Empirical, images: Tensor, degradation: Degradation
) -> None:
    x_T, noise = fitted.draw(200, degradation, seeded(1))
    candidates = RANGE.from_uint8(images)
    found = set()
    for x, own_noise in zip(x_T, noise, strict=True):
        degraded = all_the_way(degradation, candidates, own_noise.expand(30, *own_noise.shape))
        nearest = (degraded - x).abs().amax((1, 2, 3))
        assert nearest.min() <= 1e-7
        found.add(int(nearest.argmin()))
    assert found == set(range(30))


def test_empirical_keeps_different_images_chosen_by_its_seed(images: Tensor) -> None:
    def kept(seed: int) -> list[bytes]:
        prior = Empirical(SHAPE, RANGE, num_images=12, seed=seed)
        prior.fit(images, COLUMNS)
        return [bytes(image.flatten().tolist()) for image in prior.images]

    given = {bytes(image.flatten().tolist()) for image in images}
    assert len(set(kept(1))) == 12
    assert set(kept(1)) <= given
    assert kept(1) == kept(1)
    assert kept(1) != kept(2)


def test_empirical_repeats_images_where_there_are_too_few(images: Tensor) -> None:
    prior = Empirical(SHAPE, RANGE, num_images=75)
    prior.fit(images, COLUMNS)
    _, counts = prior.images.flatten(1).unique(dim=0, return_counts=True)
    assert sorted(counts.tolist()) == [2] * 15 + [3] * 15


@pytest.mark.parametrize("kind", ["normal", "empirical"])
def test_a_draw_is_its_generators(fitted: Empirical, kind: str) -> None:
    prior: Prior = fitted if kind == "empirical" else Normal(SHAPE)
    first, again, other = (prior.draw(9, NOISE, seeded(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_normal_says_what_x_T_keeps_that_it_lacks() -> None:  # noqa: N802
    """The study's 100 steps of the betas for 1,000; what ends in noise goes without a word."""
    misfit = Normal(SHAPE).misfit(Gaussian(linear(100)))
    assert misfit == "x_T keeps 36 % of the image's variance"
    assert Normal(SHAPE).describe(Gaussian(linear(100))) == f"normal ({misfit})"
    assert "keeps 100 %" in str(Normal(SHAPE).misfit(Gaussian(linear(1))))
    for schedule in (linear(1000), linear(100, rescale=True), cosine(20), quadratic(1000)):
        assert Normal(SHAPE).misfit(Gaussian(schedule)) is None
        assert Normal(SHAPE).describe(Gaussian(schedule)) == "normal"
    assert Empirical(SHAPE, RANGE, 1).misfit(Gaussian(linear(100))) is None
    assert GaussianMixture(SHAPE, RANGE).misfit(Gaussian(linear(100))) is None


@pytest.mark.parametrize("kind", ["normal", "empirical"])
def test_jitter_adds_noise_of_its_size_to_the_start_alone(images: Tensor, kind: str) -> None:
    def drawn(jitter: float) -> tuple[Tensor, Tensor]:
        prior: Prior = Normal(SHAPE, jitter)
        if kind == "empirical":
            prior = Empirical(SHAPE, RANGE, num_images=30, jitter=jitter)
            prior.fit(images, NOISE)
        return prior.draw(2000, NOISE, seeded(1))

    (plain, noise), (jittered, same_noise) = drawn(0.0), drawn(0.05)
    assert torch.equal(noise, same_noise)
    added = (jittered - plain).double()
    # 96,000 draws: five standard errors of mean and variance.
    assert added.mean().abs() < 5 * 0.05 / math.sqrt(96_000)
    assert (added.var() / 0.05**2 - 1).abs() < 5 * math.sqrt(2 / 96_000)
    assert torch.linalg.vector_norm(added.flatten(1).T.corrcoef() - torch.eye(48)) < 2


@pytest.mark.parametrize(
    ("prior", "expected"),
    [
        (Normal(SHAPE), "normal"),
        (Empirical(SHAPE, RANGE, 1), "empirical, real training images degraded"),
        (Empirical(SHAPE, RANGE, 1, jitter=0.01),
         "empirical, real training images degraded, jitter 0.01"),
        (GaussianMixture(SHAPE, RANGE), "gmm, 20 components"),
        (GaussianMixture(SHAPE, RANGE, 1, jitter=0.5), "gaussian, jitter 0.5"),
        (KernelDensity(SHAPE, RANGE), "kde, bandwidth 0.2"),
        (KernelDensity(SHAPE, RANGE, 0), "kde, bandwidth 0"),
        (KernelDensity(SHAPE, RANGE, None), "kde, Scott"),
    ],
)  # fmt: skip
def test_a_prior_says_what_it_draws_from(prior: Prior, expected: str) -> None:
    assert prior.describe() == expected

"""Generating many images: how many, from which seed, and what is left as it was."""

import pytest
import torch
from theory_support import restorer_of
from torch import Tensor

from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.generation import generate
from thaw.diffusion.predictions import Noise
from thaw.diffusion.priors.empirical import Empirical
from thaw.diffusion.priors.normal import Normal
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.cold import Cold
from thaw.diffusion.samplers.gaussian import Ancestral
from thaw.diffusion.schedules import linear
from thaw.pixels import PixelRange

SHAPE = (1, 4, 5)


@pytest.fixture
def restorer() -> Restorer:
    return restorer_of(lambda x_t, t: 0.9 * x_t, Gaussian(linear(8)), Noise())


def images(restorer: Restorer, num_samples: int, batch_size: int, seed: int = 1) -> list[Tensor]:
    batches = generate(restorer, Ancestral(), Normal(SHAPE), num_samples, batch_size, seed)
    return list(batches)


@pytest.mark.parametrize(
    ("num_samples", "batch_size", "sizes"),
    [(10, 4, [4, 4, 2]), (8, 4, [4, 4]), (3, 100, [3]), (1, 1, [1]), (0, 4, [])],
)
def test_batches_add_up_exactly(
    restorer: Restorer, num_samples: int, batch_size: int, sizes: list[int]
) -> None:
    batches = images(restorer, num_samples, batch_size)
    assert [len(batch) for batch in batches] == sizes
    assert all(batch.shape[1:] == SHAPE for batch in batches)


def test_the_seed_decides_and_no_two_batches_are_alike(restorer: Restorer) -> None:
    first, again, other = (torch.cat(images(restorer, 12, 4, seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert len(torch.cat([first, other]).flatten(1).unique(dim=0)) == 24


def test_a_batch_is_prior_then_sampler_with_the_priors_noise() -> None:
    """For averaging and a perfect restorer, what is generated are the prior's own images."""
    degradation = LineAverage(SHAPE, "column", "random")
    stored = torch.randint(0, 256, (1, *SHAPE), dtype=torch.uint8)
    prior = Empirical(SHAPE, PixelRange(-0.5, 0.5), num_images=1)
    prior.fit(stored, degradation)
    x_0 = prior.pixel_range.from_uint8(stored)
    perfect = restorer_of(lambda x_t, t: x_0.expand_as(x_t), degradation)
    (batch,) = generate(perfect, Cold(clip=False), prior, 3, 3, seed=1)
    torch.testing.assert_close(batch, x_0.expand(3, *SHAPE), rtol=0, atol=1e-6)


@pytest.mark.parametrize("was_training", [True, False])
def test_the_network_is_evaluated_without_gradient_and_its_mode_comes_back(
    was_training: bool,
) -> None:
    seen = []

    def spy(x_t: Tensor, t: Tensor) -> Tensor:
        seen.append((restorer.network.training, torch.is_grad_enabled()))
        return x_t

    restorer = restorer_of(spy, Gaussian(linear(3)), Noise()).train(was_training)
    for batch in generate(restorer, Ancestral(), Normal(SHAPE), 4, 2, seed=1):
        assert not batch.requires_grad
        # Between batches too: a caller may stop early, and may need gradients of its own.
        assert restorer.training is was_training
        assert restorer.network.training is was_training
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
    assert seen == [(False, False)] * 6

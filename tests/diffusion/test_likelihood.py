"""Bits per dimension: against Ho et al.'s formulas pixel by pixel, and against entropy."""

import math

import numpy as np
import pytest
import torch
from scipy import special, stats
from theory_support import exact_gaussian, from_betas, restorer_of
from torch import Generator, Tensor
from torch.distributions import Normal, kl_divergence

from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.likelihood import Bound, bits_per_dimension, decoder_log_likelihood
from thaw.diffusion.predictions import Clean
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.schedules import alpha_bar_of, variance_preserving
from thaw.pixels import PixelRange

RANGE = PixelRange(-1.0, 1.0)
BETAS = torch.linspace(1e-3, 0.3, 12, dtype=torch.float64)


def seeded(seed: int = 7) -> Generator:
    return Generator().manual_seed(seed)


def levels(*shape: int, seed: int = 0) -> Tensor:
    """uint8, with both ends of the range among them."""
    images = torch.randint(0, 256, shape, generator=seeded(seed), dtype=torch.uint8)
    images[..., 0, 0], images[..., 0, 1] = 0, 255
    return images


def roughly(x_t: Tensor, t: Tensor) -> Tensor:
    """Some x_0_hat that is out by a tenth and sometimes out of range."""
    return 1.05 * x_t + 0.1 * (9 * x_t + t.view(-1, 1, 1, 1)).sin()


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("variance", ["small", "large"])
def test_each_term_is_hos(variance: str, clip: bool) -> None:
    """Equations 5 to 7 and 13 from the betas alone, a distribution for every pixel."""
    degradation = exact_gaussian(from_betas(BETAS))
    restorer = restorer_of(roughly, degradation, Clean(), RANGE)
    x_0 = (levels(3, 1, 6, 5).double() / 127.5) - 1
    terms = Bound(restorer, clip).terms(x_0, seeded())[variance]

    alphas = 1 - BETAS.numpy()
    bars = np.cumprod(alphas)
    draws, expected = seeded(), []
    for t in range(1, 13):
        eps = torch.randn(x_0.shape, generator=draws, dtype=torch.float64)
        x_t = math.sqrt(bars[t - 1]) * x_0 + math.sqrt(1 - bars[t - 1]) * eps
        x_0_hat = roughly(x_t, torch.full((3,), t))
        x_0_hat = x_0_hat.clamp(-1, 1) if clip else x_0_hat
        if t == 1:
            beta_tilde_2 = (1 - bars[0]) / (1 - bars[1]) * BETAS[1].item()
            decoder = stats.norm(x_0_hat.numpy(), math.sqrt(beta_tilde_2))
            upper = np.where(x_0.numpy() > 0.999, 1.0, decoder.cdf(x_0.numpy() + 1 / 255))
            lower = np.where(x_0.numpy() < -0.999, 0.0, decoder.cdf(x_0.numpy() - 1 / 255))
            per_pixel = torch.from_numpy(-np.log(upper - lower))
        else:
            beta = BETAS[t - 1].item()
            beta_tilde = (1 - bars[t - 2]) / (1 - bars[t - 1]) * beta

            def mean(image: Tensor, x_t: Tensor = x_t, t: int = t, beta: float = beta) -> Tensor:
                of_image = math.sqrt(bars[t - 2]) * beta / (1 - bars[t - 1])
                of_x_t = math.sqrt(alphas[t - 1]) * (1 - bars[t - 2]) / (1 - bars[t - 1])
                return of_image * image + of_x_t * x_t

            sigma = math.sqrt(beta_tilde if variance == "small" else beta)
            q = Normal(mean(x_0), torch.full_like(x_0, math.sqrt(beta_tilde)))
            per_pixel = kl_divergence(q, Normal(mean(x_0_hat), torch.full_like(x_0, sigma)))
        expected.append(per_pixel.flatten(1).mean(1) / math.log(2))
    q_T = Normal(math.sqrt(bars[-1]) * x_0, math.sqrt(1 - bars[-1]))
    prior = kl_divergence(q_T, Normal(torch.zeros_like(x_0), torch.ones_like(x_0)))
    expected.append(prior.flatten(1).mean(1) / math.log(2))
    assert terms.shape == (3, 13)
    torch.testing.assert_close(terms, torch.stack(expected, 1), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mean", [-1.4, -1.0, -0.3, 0.0, 0.999, 1.2])
@pytest.mark.parametrize("deviation", [1e-3, 7e-3, 0.5])
def test_the_decoder_spreads_probability_1_over_the_levels(mean: float, deviation: float) -> None:
    x_0 = torch.arange(256, dtype=torch.float64) / 127.5 - 1
    log_p = decoder_log_likelihood(x_0, torch.full_like(x_0, mean), deviation, RANGE)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-9)
    assert log_p.isfinite().all()


def test_the_decoder_is_exact_far_out_in_both_tails() -> None:
    """There the mass underflows; its logarithm is that of the nearer end of the bin."""
    x_0 = RANGE.from_uint8(torch.tensor([100, 160], dtype=torch.uint8)).double()
    away = torch.tensor([-0.9, 0.9], dtype=torch.float64)  # 180 deviations of 0.005
    log_p = decoder_log_likelihood(x_0, x_0 - away, 0.005, RANGE)
    nearer = special.log_ndtr(-(0.9 - 1 / 255) / 0.005)
    assert nearer < -16_000
    torch.testing.assert_close(log_p, torch.full_like(log_p, nearer), rtol=1e-9, atol=0)


def test_for_unit_variance_the_bound_is_the_entropy_but_for_the_decoder() -> None:
    """x_0 ~ N(0, 1), the optimal network, large variance: every reverse step is the true one.

    What is left is the decoder, whose variance is beta_tilde_2 and not beta_1: a KL in closed form.
    """
    wide, betas = PixelRange(-5.0, 5.0), torch.linspace(0.02, 0.3, 30, dtype=torch.float64)
    schedule = from_betas(betas)
    restorer = restorer_of(
        lambda x_t, t: schedule[t, 0].view(-1, 1, 1, 1) * x_t,  # E[x_0 | x_t]
        exact_gaussian(schedule),
        Clean(),
        wide,
    )
    quantiles = special.ndtri((np.arange(40_000) + 0.5) / 40_000)
    x_0 = wide.from_uint8(wide.to_uint8(torch.from_numpy(quantiles).view(4, 1, 100, 100))).double()
    terms = Bound(restorer, clip=False).terms(x_0, seeded())
    entropy = 0.5 * math.log2(2 * math.pi * math.e) - math.log2(10 / 255)
    true, ab = betas[0].item(), alpha_bar_of(schedule)
    chosen = ((1 - ab[1]) / (1 - ab[2]) * betas[1]).item()
    misfit = 0.5 * (math.log(chosen / true) + true / chosen - 1) / math.log(2)
    assert misfit > 0.1
    # Four standard errors of what 40,000 pixels draw.
    assert terms["large"].sum(1).mean().item() == pytest.approx(entropy + misfit, abs=0.05)
    assert terms["small"].sum(1).mean().item() > entropy + misfit


def test_the_summary_adds_up_and_is_the_same_for_the_same_seed() -> None:
    degradation = Gaussian(from_betas(BETAS))
    restorer = restorer_of(roughly, degradation, Clean(), RANGE)
    images = levels(7, 1, 6, 5)
    result = bits_per_dimension(restorer, images, batch_size=3, seed=1)
    assert (result["n"], result["evaluations"], result["clip"]) == (7, 12, True)
    for name in ("small", "large"):
        part = result[name]
        assert len(part["terms"]) == 13
        total = part["prior"] + part["steps"] + part["decoder"]
        assert part["bits_per_dim"] == pytest.approx(total) == pytest.approx(sum(part["terms"]))
        assert 0 < part["standard_error"] < part["bits_per_dim"]
    assert bits_per_dimension(restorer, images, batch_size=3, seed=1) == result
    assert bits_per_dimension(restorer, images, batch_size=3, seed=2) != result


@pytest.mark.parametrize("timesteps", [1, 2, 20])
def test_a_table_that_ends_in_pure_noise_has_no_prior_term(timesteps: int) -> None:
    schedule = variance_preserving(torch.linspace(1, 0, timesteps + 1, dtype=torch.float64))
    restorer = restorer_of(roughly, Gaussian(schedule), Clean(), RANGE)
    x_0 = RANGE.from_uint8(levels(2, 1, 4, 4))
    for terms in Bound(restorer).terms(x_0, seeded()).values():
        assert terms.shape == (2, timesteps + 1)
        assert terms.isfinite().all()
        assert (terms[:, -1] == 0).all()


class Labelled(torch.nn.Module):
    """A class-conditional network whose image is its label, so that asking for it shows."""

    num_classes = 4

    def __init__(self) -> None:
        super().__init__()
        self.anchor = torch.nn.Parameter(torch.zeros(()))

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        return (labels.view(-1, 1, 1, 1) / 4).expand_as(x_t).to(x_t.dtype)


def test_a_class_conditional_model_is_told_each_images_class() -> None:
    """Images of one colour a class, known to the network: each label belongs to its own image."""
    degradation = Gaussian(from_betas(BETAS))
    restorer = Restorer(Labelled(), degradation, Clean(), RANGE)
    labels = torch.tensor([0, 3, 1, 2, 3])
    images = RANGE.to_uint8(labels.view(-1, 1, 1, 1) / 4).expand(-1, 1, 4, 4)
    right, wrong, without = (
        bits_per_dimension(restorer, images, batch_size=2, seed=0, labels=given)
        for given in (labels, labels.roll(1), None)
    )
    assert right["small"]["steps"] < 0.01 * wrong["small"]["steps"]
    assert right["small"]["steps"] < 0.01 * without["small"]["steps"]


def test_a_cold_model_has_none() -> None:
    columns = LineAverage((1, 6, 5), "column", "random")
    with pytest.raises(ValueError, match="Bound needs .*Gaussian, got LineAverage"):
        bits_per_dimension(restorer_of(roughly, columns), levels(2, 1, 6, 5), 2, 0)

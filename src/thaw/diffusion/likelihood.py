"""Bits per dimension of a Gaussian model: the variational bound, term by term."""

import math
from typing import Any

import torch
from torch import Generator, Tensor

from thaw.diffusion.degradations.base import all_at
from thaw.diffusion.degradations.gaussian import Gaussian, Noising, Scales
from thaw.diffusion.needs import Part, check_needs
from thaw.diffusion.priors.normal import end_deviation
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Path
from thaw.diffusion.samplers.gaussian import VARIANCES, Ancestral, beta, posterior_variance
from thaw.pixels import PixelRange
from thaw.seeding import generator

NUM_LEVELS = 256


def bits_per_dimension(
    restorer: Restorer,
    images: Tensor,
    batch_size: int,
    seed: int,
    clip: bool = True,
    labels: Tensor | None = None,
) -> dict[str, Any]:
    """The bound on -log2 p(x_0) of images, in bits per dimension, for both variances.

    Of images, uint8 ``[N, C, H, W]``, two or more, and a model of Gaussian noise with the normal
    prior; with labels, int64 ``[N]``, of p(x_0 | y). One draw of x_t for each image and t, which
    depends on the batch size; T network evaluations an image.

    Returns:
        For ``small`` and ``large`` variance ``bits_per_dim`` and its ``standard_error`` over the
        images, the parts ``prior``, ``steps`` and ``decoder``, and all ``terms`` L_0, ..., L_T;
        beside them ``n`` images, ``evaluations`` of the network an image, and ``clip``.
    """
    bound, device = Bound(restorer, clip), restorer.device
    batches = []
    for number, batch in enumerate(images.split(batch_size)):
        x_0 = restorer.pixel_range.from_uint8(batch.to(device))
        draws = generator(seed, "likelihood", number, device=device)
        own = None if labels is None else labels.split(batch_size)[number].to(device)
        with torch.inference_mode():
            batches.append(bound.terms(x_0, draws, own))
    terms = {name: torch.cat([batch[name] for batch in batches]) for name in VARIANCES}
    return {name: _summary(terms[name]) for name in VARIANCES} | {
        "n": len(images),
        "evaluations": restorer.degradation.num_steps,
        "clip": clip,
    }


class Bound(Part[Gaussian]):
    """L_0 + ... + L_T >= -log p(x_0) (Ho et al. 2020, equation 5), in bits per dimension.

    L_T = KL(q(x_T | x_0) || p(x_T)), p(x_T) the normal prior; L_{t-1} = KL(q(x_{t-1} | x_t, x_0) ||
    p(x_{t-1} | x_t)) for t = 2..T, p with the mean and the variance of :class:`Ancestral`; L_0 =
    -log p(x_0 | x_1), the discretised decoder of equation 13. Its variance is the posterior's at
    t = 2, as in their code, because at t = 1 the posterior has none.
    """

    needs = Gaussian

    def __init__(self, restorer: Restorer, clip: bool = True) -> None:
        self.restorer = restorer
        self.degradation = check_needs(self, restorer.degradation)
        self.sampler = Ancestral(clip=clip)
        self.deviation = end_deviation(self.degradation)

    def terms(
        self, x_0: Tensor, draws: Generator, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """L_0, ..., L_T of each image, for each variance float64 ``[B, T + 1]``.

        Each value of x_0 ``[B, C, H, W]`` is one of the 256 levels of the images' range.
        """
        at = [self.degradation.scales_at(t) for t in range(self.degradation.num_steps + 1)]
        decoder, errors = self._measure(x_0, draws, labels)
        of_x_0, of_noise = (
            (at[-1].signal / self.deviation) ** 2,
            (at[-1].sigma / self.deviation) ** 2,
        )
        prior = 0.5 * (-of_noise.log() + of_noise - 1 + of_x_0 * _mean(x_0.double() ** 2))
        terms: dict[str, Tensor] = {}
        for name in VARIANCES:
            deviation = Ancestral(variance=name).deviation
            steps = [
                _step_term(error, at[t], at[t - 1], deviation(at[t], at[t - 1]) ** 2)
                for t, error in enumerate(errors, start=2)
            ]
            terms[name] = torch.stack([decoder, *steps, prior], 1) / math.log(2)
        return terms

    def _measure(
        self, x_0: Tensor, draws: Generator, labels: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        """(L_0 ``[B]`` in nats, the mean squared error ``[B]`` of x_0_hat at t = 2, ..., T)."""
        degradation, errors = self.degradation, []
        first, second = (
            degradation.scales_at(1),
            degradation.scales_at(min(2, degradation.num_steps)),
        )
        variance = (
            posterior_variance(second, first) if degradation.num_steps > 1 else first.sigma**2
        )
        for t in range(1, degradation.num_steps + 1):
            noise = degradation.draw_noise(x_0, draws)
            x_t = degradation(x_0, all_at(t, x_0), noise)
            path: Path[Noising] = Path(self.restorer, degradation, noise, labels=labels)
            x_0_hat = self.sampler.estimate(t, x_t, path).x_0_hat
            if t == 1:
                pixel_range = self.restorer.pixel_range
                log_p = decoder_log_likelihood(x_0, x_0_hat, variance.sqrt().item(), pixel_range)
            else:
                errors.append(_mean((x_0.double() - x_0_hat.double()) ** 2))
        return -_mean(log_p), errors


def decoder_log_likelihood(
    x_0: Tensor, mean: Tensor, deviation: float, pixel_range: PixelRange
) -> Tensor:
    """log of N(mean, deviation^2)'s mass in the bin of each value of x_0 (Ho et al. 2020, eq. 13).

    In nats, float64. A bin is a level and half a level on either side; the first and the last reach
    to infinity. Exact far out in the tails too, where Ho et al. round the mass up to 1e-12.
    """
    half = (pixel_range.high - pixel_range.low) / (NUM_LEVELS - 1) / 2
    away = x_0.double() - mean.double()
    level = pixel_range.to_uint8(x_0)
    low = ((away - half) / deviation).masked_fill(level == 0, -math.inf)
    high = ((away + half) / deviation).masked_fill(level == NUM_LEVELS - 1, math.inf)
    # Mirrored into the left tail, where the logarithm of the distribution keeps its digits.
    mirrored = low > 0
    low, high = torch.where(mirrored, -high, low), torch.where(mirrored, -low, high)
    log_low, log_high = torch.special.log_ndtr(low), torch.special.log_ndtr(high)
    log_p: Tensor = log_high + torch.log(-torch.expm1(log_low - log_high))
    return log_p


def _step_term(error: Tensor, at_t: Scales, at_s: Scales, variance: Tensor) -> Tensor:
    """KL of two Gaussians a dimension, in nats, from the mean squared error of x_0_hat."""
    true = posterior_variance(at_t, at_s)
    weight = at_s.signal * beta(at_t, at_s) / at_t.sigma**2
    spread = (variance / true).log() + true / variance - 1
    return 0.5 * (spread + weight**2 / variance * error)


def _mean(values: Tensor) -> Tensor:
    return values.flatten(1).mean(1)


def _summary(terms: Tensor) -> dict[str, Any]:
    totals, means = terms.sum(1), terms.mean(0).tolist()
    return {
        "bits_per_dim": totals.mean().item(),
        "standard_error": totals.std().item() / math.sqrt(len(totals)),
        "prior": means[-1],
        "steps": sum(means[1:-1]),
        "decoder": means[0],
        "terms": means,
    }

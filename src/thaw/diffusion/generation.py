"""Drawing many images: prior, then sampler, batch by batch."""

from collections.abc import Iterator

import torch
from torch import Tensor

from thaw.diffusion.priors import Prior
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Sampler
from thaw.seeding import generator


def generate(
    restorer: Restorer,
    sampler: Sampler,
    prior: Prior,
    num_samples: int,
    batch_size: int,
    seed: int,
) -> Iterator[Tensor]:
    """Batches of x_0 ``[b, C, H, W]`` that add up to ``num_samples`` images.

    The network is in evaluation mode while a batch is made, and no gradient is kept. What is
    drawn depends on the seed and on ``batch_size``, never on the global generator.
    """
    device = next(restorer.network.parameters()).device
    for number, start in enumerate(range(0, num_samples, batch_size)):
        draws = generator(seed, "generate", number, device=device)
        size = min(batch_size, num_samples - start)
        was_training = restorer.training
        restorer.eval()
        with torch.inference_mode():
            x_T, noise = prior.draw(size, restorer.degradation, draws)
            x_0 = sampler.sample(restorer, x_T, noise, draws)
        restorer.train(was_training)
        yield x_0

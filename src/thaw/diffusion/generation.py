"""Drawing many images: prior, then sampler, batch by batch."""

from collections.abc import Iterator

import torch
from torch import Tensor

from thaw.diffusion.guidance import guided, with_guidance
from thaw.diffusion.priors import Prior
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Sampler
from thaw.ranks import part
from thaw.seeding import generator


def generate(
    restorer: Restorer,
    sampler: Sampler,
    prior: Prior,
    num_samples: int,
    batch_size: int,
    seed: int,
    labels: Tensor | None = None,
    place: tuple[int, int] = (0, 1),
) -> Iterator[Tensor]:
    """Batches of x_0 ``[b, C, H, W]`` that add up to ``num_samples`` images.

    The network is in evaluation mode while a batch is made, and no gradient is kept. What is
    drawn depends on the seed and on ``batch_size``, never on the global generator. x_T is of the
    image's class, where the prior knows classes; the random numbers do not depend on the labels.

    Args:
        restorer: the model.
        sampler: the way from x_T to x_0, with the scale of the guidance.
        prior: of x_T.
        num_samples: images in all.
        batch_size: images at once.
        seed: of every draw.
        labels: the classes, int64 ``[num_samples]``; None draws them where the model takes any.
        place: the rank of this process and the number of them. Each makes whole batches of those
            that one process would make, in order; where there are too few, a process gets an empty
            one, for metrics want a batch of each.
    """
    device = next(restorer.network.parameters()).device
    if labels is None:
        labels = draw_labels(restorer, num_samples, seed)
    starts = range(0, num_samples, batch_size)
    numbers = range(len(starts))
    mine = numbers[part(len(starts), *place)]
    for number in mine or numbers[:1]:
        start = starts[number]
        draws = generator(seed, "generate", number, device=device)
        size = min(batch_size, num_samples - start)
        was_training = restorer.training
        restorer.eval()
        with torch.inference_mode():
            given = None if labels is None else labels[start : start + size].to(device)
            x_T, noise = prior.draw(size, restorer.degradation, draws, given)
            model = guided(restorer, given, sampler.guidance)
            x_0 = sampler.sample(model, x_T, noise, draws)
        restorer.train(was_training)
        yield x_0 if mine else x_0[:0]


def draw_labels(restorer: Restorer, num_samples: int, seed: int) -> Tensor | None:
    """Labels y ~ p(y), the classes' shares of the training images; None without classes.

    Int64 ``[num_samples]`` on the CPU, the same ones on every device and for every batch size.
    """
    if restorer.num_classes is None:
        return None
    frequencies = restorer.class_frequencies.cpu()
    draws = generator(seed, "labels")
    return torch.multinomial(frequencies, num_samples, replacement=True, generator=draws)


def describe(restorer: Restorer, sampler: Sampler) -> str:
    """How images are generated, as logged beside every score: ``DDIM, 25 steps, guidance 2``."""
    return with_guidance(sampler.describe(restorer.degradation), restorer, sampler.guidance)

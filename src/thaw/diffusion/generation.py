"""Drawing many images: prior, then sampler, batch by batch."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from thaw.diffusion.inference import evaluating
from thaw.diffusion.priors.base import Prior
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Sampler, State
from thaw.ranks import WHOLE, Portion
from thaw.seeding import generator


def generate(
    restorer: Restorer,
    sampler: Sampler,
    prior: Prior,
    num_samples: int,
    batch_size: int,
    seed: int,
    labels: Tensor | None = None,
    portion: Portion = WHOLE,
) -> Iterator[Tensor]:
    """Batches of x_0 ``[b, C, H, W]`` that add up to ``num_samples`` images.

    What is drawn depends on the seed and on ``batch_size``, never on the global generator nor on
    the labels. These are the classes, int64 ``[num_samples]``; None draws them where the model
    takes any. ``portion`` is this process's portion of the batches.
    """
    if labels is None:
        labels = draw_labels(restorer, num_samples, seed)
    for batch in portion.batches(num_samples, batch_size):
        draws = generator(seed, "generate", batch.number, device=restorer.device)
        with evaluating(restorer):
            own = None if labels is None else labels[batch.items].to(restorer.device)
            x_T, noise = prior.draw(batch.size, restorer.degradation, draws, own)
            x_0 = sampler.sample(restorer, x_T, noise, draws, labels=own)
        yield x_0[batch.kept]


def trajectory(
    restorer: Restorer,
    sampler: Sampler,
    prior: Prior,
    num_samples: int,
    draws: Generator,
    labels: Tensor | None = None,
) -> Iterator[State]:
    """Each state of ``num_samples`` images, from x_T on; to be read within ``evaluating``.

    Labels are as in :func:`generate`; the generator is on the restorer's device.
    """
    own = None if labels is None else labels.to(restorer.device)
    x_T, noise = prior.draw(num_samples, restorer.degradation, draws, own)
    yield from sampler.trajectory(restorer, x_T, noise, draws, labels=own)


def draw_labels(restorer: Restorer, num_samples: int, seed: int) -> Tensor | None:
    """Classes to generate, drawn from the model's class frequencies; None without classes.

    Int64 ``[num_samples]`` on the CPU, the same ones on every device and for every batch size.
    """
    if restorer.num_classes is None:
        return None
    frequencies = restorer.class_frequencies.cpu()
    draws = generator(seed, "labels")
    return torch.multinomial(frequencies, num_samples, replacement=True, generator=draws)

"""Classifier-free guidance: labels hidden in training, and estimates that are steered by them."""

import torch
from torch import Generator, Tensor

from thaw.diffusion.restorer import NO_LABEL, Restorer


def hide_labels(labels: Tensor, share: float, generator: Generator) -> Tensor:
    """Labels, int64 ``[B]``, of which each is -1 with probability ``share``.

    Ho and Salimans 2022, Algorithm 1, where the share is p_uncond.
    """
    draws = torch.rand(len(labels), generator=generator, device=labels.device)
    return labels.masked_fill(draws < share, NO_LABEL)


def guided(
    restorer: Restorer,
    x_t: Tensor,
    t: Tensor,
    noise: Tensor | None = None,
    labels: Tensor | None = None,
    scale: float = 1.0,
) -> Tensor:
    """x_0_hat ``[B, C, H, W]``, steered by labels: R of out + scale (out_y - out).

    out_y is the network's output with the labels, out without (Ho and Salimans 2022, equation 6,
    where scale = 1 + w): at 1 the conditional model alone, at 0 the unconditional, above 1 what
    tells the class apart is exaggerated. The network is called once, on both halves of a doubled
    batch, and on one half alone at 0 and 1.

    Args:
        restorer: the model.
        x_t: images ``[B, C, H, W]``.
        t: their steps, int64 ``[B]``.
        noise: what x_t was degraded with, for networks with the degradation's ``condition``.
        labels: the classes, int64 ``[B]``; None for the unconditional model, whatever the scale.
        scale: scale of the guidance, 0 or more.

    Raises:
        ValueError: an unconditional model is given labels.
    """
    if labels is not None and restorer.num_classes is None:
        raise ValueError("an unconditional model takes no labels")
    if labels is None or scale == 0:
        x_0_hat: Tensor = restorer(x_t, t, noise)
        return x_0_hat
    if scale == 1:
        output = restorer.predict(x_t, t, labels, noise)
    else:
        both = torch.cat([labels, torch.full_like(labels, NO_LABEL)])
        twice = None if noise is None else torch.cat([noise, noise])
        outputs = restorer.predict(torch.cat([x_t, x_t]), torch.cat([t, t]), both, twice)
        conditional, unconditional = outputs.chunk(2)
        output = unconditional + scale * (conditional - unconditional)
    return restorer.prediction.decode(output, x_t, t, restorer.degradation)


def check_guidance(restorer: Restorer, scale: float) -> None:
    """Refuse a scale of the guidance that has no meaning for this model.

    Raises:
        ValueError: another scale than 1 without labels, or without an unconditional model.
    """
    if scale != 1 and restorer.num_classes is None:
        raise ValueError(f"guidance={scale:g} needs a class-conditional model (num_classes)")
    if scale != 1 and restorer.label_dropout == 0:
        raise ValueError(
            f"guidance={scale:g} needs a model that has learnt to go without labels too "
            "(label_dropout above 0)"
        )


def labels_in_words(restorer: Restorer, scale: float, labels: str = "with their own labels") -> str:
    """Which labels the model is given with images; empty for an unconditional model."""
    if restorer.num_classes is None:
        return ""
    return labels if scale else "without labels"

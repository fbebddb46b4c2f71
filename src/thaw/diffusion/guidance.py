"""Classifier-free guidance: labels hidden in training, and a restorer that is steered by them."""

import torch
from torch import Generator, Tensor

from thaw.diffusion.restorer import NO_LABEL, Restorer


def hide_labels(labels: Tensor, share: float, generator: Generator) -> Tensor:
    """Labels, int64 ``[B]``, of which each is -1 with probability ``share``.

    Ho and Salimans 2022, Algorithm 1, where the share is p_uncond.
    """
    draws = torch.rand(len(labels), generator=generator, device=labels.device)
    return labels.masked_fill(draws < share, NO_LABEL)


def check_guidance(restorer: Restorer, scale: float) -> None:
    """Refuse a ``sampler.guidance`` that means nothing for this model.

    Raises:
        ValueError: another scale than 1 without labels, or without an unconditional model.
    """
    if scale == 1:
        return
    if restorer.num_classes is None:
        raise ValueError(
            f"sampler.guidance={scale:g} needs a class-conditional model (such as "
            "model.num_classes=10); for this one leave it at 1"
        )
    if restorer.label_dropout == 0:
        raise ValueError(
            f"sampler.guidance={scale:g} needs a model that has learnt to go without labels "
            "(model.label_dropout above 0, such as 0.1); for this one leave it at 1"
        )


def with_guidance(how: str, restorer: Restorer, scale: float) -> str:
    """A sampler's description, with the scale where it is not as usual: ``DDIM, guidance 2``."""
    is_guided = restorer.num_classes is not None and scale != 1
    return f"{how}, guidance {scale:g}" if is_guided else how


def told(restorer: Restorer, scale: float, labels: str = "their own labels") -> str:
    """What a model is told of given images, in words; empty for an unconditional one."""
    if restorer.num_classes is None:
        return ""
    return f"with {labels}" if scale else "without labels"


class Guided(Restorer):
    """out = out(x_t, t) + scale (out(x_t, t, y) - out(x_t, t)), decoded as any output is.

    Ho and Salimans 2022, equation 6, where scale = 1 + w: at 1 the conditional model alone, at 0
    the unconditional, above 1 what tells the class apart is exaggerated. To a sampler it is a
    restorer like any other. The network is called once, on both halves of a doubled batch, and
    on one half alone at 0 and 1.

    Args:
        restorer: a class-conditional model; its parts are shared, not copied.
        labels: the class of each image of the batch, int64 ``[B]``.
        scale: of the guidance, 0 or more.

    Raises:
        ValueError: the model takes no labels.
    """

    def __init__(self, restorer: Restorer, labels: Tensor, scale: float) -> None:
        if restorer.num_classes is None:
            raise ValueError("an unconditional model takes no labels (model.num_classes=null)")
        super().__init__(
            restorer.network, restorer.degradation, restorer.prediction, restorer.pixel_range
        )
        self.pieces = restorer.pieces
        self.labels = labels
        self.scale = scale

    def forward(self, x_t: Tensor, t: Tensor, noise: Tensor | None = None) -> Tensor:
        return self.prediction.decode(self._guided(x_t, t, noise), x_t, t, self.degradation)

    def _guided(self, x_t: Tensor, t: Tensor, noise: Tensor | None) -> Tensor:
        if self.scale == 0:
            return self.predict(x_t, t, noise=noise)
        if self.scale == 1:
            return self.predict(x_t, t, self.labels, noise)
        labels = torch.cat([self.labels, torch.full_like(self.labels, NO_LABEL)])
        twice = None if noise is None else torch.cat([noise, noise])
        both = self.predict(torch.cat([x_t, x_t]), torch.cat([t, t]), labels, twice)
        conditional, unconditional = both.chunk(2)
        return unconditional + self.scale * (conditional - unconditional)


def guided(restorer: Restorer, labels: Tensor | None, scale: float) -> Restorer:
    """The model as a sampler is to see it: steered by labels, or itself where there are none."""
    return restorer if labels is None else Guided(restorer, labels, scale)

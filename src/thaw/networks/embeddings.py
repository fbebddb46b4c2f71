"""Embeddings of a network's inputs beside the image: the step t and perhaps a class label."""

import math
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor, nn

from thaw.networks.activations import ACTIVATIONS, Activation

# From labels that are all hidden nothing is learnt.
LabelDropout = Annotated[float, Interval(ge=0, lt=1)]

FREQUENCIES = [0.0] + [2 * math.pi * 1.5**i for i in range(15)]


class TimeEmbedding(nn.Module):
    """An MLP over sin(w t / T) and cos(w t / T) - 1, w in {0, 2 pi 1.5^i : i = 0..14}."""

    frequencies: Tensor

    def __init__(self, width: int, num_steps: int, activation: Activation):
        super().__init__()
        self.num_steps = num_steps
        self.register_buffer("frequencies", torch.tensor(FREQUENCIES), persistent=False)
        self.mlp = nn.Sequential(
            nn.Linear(2 * len(FREQUENCIES), 128),
            ACTIVATIONS[activation](),
            nn.Linear(128, 128),
            ACTIVATIONS[activation](),
            nn.Linear(128, 128),
            ACTIVATIONS[activation](),
            nn.Linear(128, width),
        )

    def forward(self, t: Tensor) -> Tensor:
        """``[B, width]`` from steps t ``[B]``, whole or between two."""
        phase = (t / self.num_steps).to(self.frequencies.dtype)[:, None] * self.frequencies
        embedding: Tensor = self.mlp(torch.cat([phase.sin(), phase.cos() - 1], dim=1))
        return embedding


class LabelEmbedding(nn.Embedding):
    """A vector for each class, added to the embedding of t (Dhariwal and Nichol 2021, section 3).

    The label -1, "none", adds nothing: the network is then the unconditional one.
    """

    def forward(self, labels: Tensor) -> Tensor:
        """``[B, width]`` from labels, int64 ``[B]``, each -1 or a class."""
        embedding: Tensor = super().forward(labels.clamp(min=0))
        return embedding * (labels >= 0).unsqueeze(1)


def embedded(
    time: TimeEmbedding, label: LabelEmbedding | None, t: Tensor, labels: Tensor | None
) -> Tensor:
    """``[B, width]``: the embedding of steps t, and of labels where there are any."""
    embedding: Tensor = time(t)
    if label is not None and labels is not None:
        embedding = embedding + label(labels)
    return embedding

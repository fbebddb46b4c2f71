"""The convolutional network of the study that thaw reproduces."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from math import prod

from torch import Tensor, nn

from thaw.checks import check_list, check_whole
from thaw.networks.activations import activation as make_activation
from thaw.networks.embeddings import TimeEmbedding, label_embedding
from thaw.networks.sizes import check_cost


class CNN(nn.Module):
    """Blocks of conv -> LayerNorm over (C, H, W) -> activation, then one plain convolution.

    An embedding of t / T, and of the class label where there are classes, is added after the first
    block. With the defaults on 1 x 28 x 28 it has 291,217 parameters.

    Args:
        image_shape: (C, H, W).
        num_steps: T.
        hidden: output channels of the blocks.
        kernel_size: of the blocks, odd.
        last_kernel_size: of the last convolution, odd.
        activation: a name from :mod:`thaw.networks.activations`.
        num_classes: classes of the labels it takes; None for an unconditional network.
        label_dropout: share of the labels hidden in training, in [0, 1]; the trainer reads it.
        extra_channels: of the input, beside the image's: what the degradation tells of x_t.

    Raises:
        ValueError: no or non-positive hidden channels, an even kernel, an unknown activation, no
            number of classes.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_steps: int,
        hidden: Sequence[int] = (16, 32, 32, 16),
        kernel_size: int = 7,
        last_kernel_size: int = 3,
        activation: str = "gelu",
        num_classes: int | None = None,
        label_dropout: float = 0.1,
        extra_channels: int = 0,
    ) -> None:
        super().__init__()
        check_list("model.hidden", hidden, partial(check_whole, high=65_536), "[16,32,32,16]")
        _check_odd("model.kernel_size", kernel_size)
        _check_odd("model.last_kernel_size", last_kernel_size)
        channels, *size = image_shape
        widths = [channels + extra_channels, *hidden]
        _check_cost([*widths, channels], kernel_size, last_kernel_size, size)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, kernel_size, padding=kernel_size // 2),
                nn.LayerNorm((after, *size)),
                make_activation(activation),
            )
            for before, after in zip(widths, hidden, strict=False)
        )
        self.time_embedding = TimeEmbedding(hidden[0], num_steps, activation)
        self.last = nn.Conv2d(hidden[-1], channels, last_kernel_size, padding=last_kernel_size // 2)
        # Last, so that the other weights start as the unconditional network's of the same seed.
        self.label_embedding = label_embedding(num_classes, hidden[0], label_dropout)
        self.num_classes = num_classes
        self.label_dropout = label_dropout

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """``[B, C, H, W]`` from x_t ``[B, C + extra, H, W]``, its steps t and labels.

        t is int64 ``[B]``; labels too, each -1 (none) or a class; None is -1 for all.
        """
        embedding = self.time_embedding(t)
        if self.label_embedding is not None and labels is not None:
            embedding = embedding + self.label_embedding(labels)
        h = self.blocks[0](x_t) + embedding[:, :, None, None]
        for block in self.blocks[1:]:
            h = block(h)
        output: Tensor = self.last(h)
        return output


def _check_cost(widths: list[int], kernel_size: int, last: int, size: Sequence[int]) -> None:
    pairs = [before * after for before, after in pairwise(widths)]
    weights = kernel_size**2 * sum(pairs[:-1]) + last**2 * pairs[-1]
    norms = 2 * sum(widths[1:-1]) * prod(size)
    check_cost("model.hidden, model.kernel_size", weights + norms, 2 * weights * prod(size))


def _check_odd(name: str, kernel_size: int) -> None:
    check_whole(name, kernel_size, 1, 255)
    if kernel_size % 2 == 0:
        raise ValueError(f"{name} must be odd, so that the image keeps its size: {kernel_size}")

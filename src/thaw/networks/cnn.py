"""The convolutional network of the study that thaw reproduces."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from thaw.checks import check_whole
from thaw.networks.activations import activation as make_activation


class CNN(nn.Module):
    """Blocks of conv -> LayerNorm over (C, H, W) -> activation, then one plain convolution.

    An embedding of t / T is added after the first block. With the defaults on 1 x 28 x 28 it has
    291,217 parameters.

    Args:
        image_shape: (C, H, W).
        num_steps: T.
        hidden: output channels of the blocks.
        kernel_size: of the blocks, odd.
        last_kernel_size: of the last convolution, odd.
        activation: a name from :mod:`thaw.networks.activations`.

    Raises:
        ValueError: no or non-positive hidden channels, an even kernel, an unknown activation.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_steps: int,
        hidden: Sequence[int] = (16, 32, 32, 16),
        kernel_size: int = 7,
        last_kernel_size: int = 3,
        activation: str = "gelu",
    ) -> None:
        super().__init__()
        _check_hidden(hidden)
        _check_odd("model.kernel_size", kernel_size)
        _check_odd("model.last_kernel_size", last_kernel_size)
        channels, *size = image_shape
        widths = [channels, *hidden]
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

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """``[B, C, H, W]`` from x_t ``[B, C, H, W]`` and its steps t, int64 ``[B]``."""
        h = self.blocks[0](x_t) + self.time_embedding(t)[:, :, None, None]
        for block in self.blocks[1:]:
            h = block(h)
        output: Tensor = self.last(h)
        return output


class TimeEmbedding(nn.Module):
    """An MLP over sin(w t / T) and cos(w t / T) - 1, w in {0, 2 pi 1.5^i : i = 0..14}."""

    frequencies: Tensor

    def __init__(self, width: int, num_steps: int, activation: str, num_frequencies: int = 16):
        super().__init__()
        self.num_steps = num_steps
        frequencies = [0.0] + [2 * math.pi * 1.5**i for i in range(num_frequencies - 1)]
        self.register_buffer("frequencies", torch.tensor(frequencies), persistent=False)
        self.mlp = nn.Sequential(
            nn.Linear(2 * num_frequencies, 128),
            make_activation(activation),
            nn.Linear(128, 128),
            make_activation(activation),
            nn.Linear(128, 128),
            make_activation(activation),
            nn.Linear(128, width),
        )

    def forward(self, t: Tensor) -> Tensor:
        """``[B, width]`` from steps t, int64 ``[B]``."""
        phase = (t / self.num_steps).to(self.frequencies.dtype)[:, None] * self.frequencies
        embedding: Tensor = self.mlp(torch.cat([phase.sin(), phase.cos() - 1], dim=1))
        return embedding


def _check_hidden(hidden: Sequence[int]) -> None:
    if isinstance(hidden, str) or not isinstance(hidden, Sequence) or not hidden:
        raise ValueError(f"model.hidden must be a list such as [16,32,32,16], not {hidden!r}")
    for width in hidden:
        check_whole("each entry of model.hidden", width, 1, 65_536)


def _check_odd(name: str, kernel_size: int) -> None:
    check_whole(name, kernel_size, 1, 255)
    if kernel_size % 2 == 0:
        raise ValueError(f"{name} must be odd, so that the image keeps its size: {kernel_size}")

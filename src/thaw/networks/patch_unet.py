"""A U-Net on patches for CPUs: images folded into channels, then few residual blocks."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from thaw.checks import Count, checked
from thaw.networks.activations import ACTIVATIONS, Activation
from thaw.networks.embeddings import LabelDropout, LabelEmbedding, TimeEmbedding, embedded


class PatchUNet(nn.Module):
    """Patches of pixels as channels, residual blocks at two resolutions, and unfolded again.

    Folding (pixel_unshuffle, Shi et al. 2016) turns ``patch`` x ``patch`` pixels into channels, so
    that no convolution works at full resolution; 28 x 28 becomes 14 x 14, and 7 x 7 in the middle.
    A learned table of positions is added, t and the class label scale and shift each block
    (Perez et al. 2018). Sides that 2 x ``patch`` does not divide are padded with zeros. Other
    arguments: :class:`~thaw.networks.cnn.CNN`.

    Args:
        patch: side of a patch in pixels.
        width: channels at the higher resolution; twice as many at the lower one.
        depth: blocks at the higher resolution, on the way down and on the way up.
        middle: blocks at the lower resolution.
    """

    @checked
    def __init__(
        self,
        image_shape: Sequence[int],
        num_steps: int,
        patch: Count = 2,
        width: Count = 32,
        depth: Count = 1,
        middle: Count = 2,
        activation: Activation = "silu",
        num_classes: Count | None = None,
        label_dropout: LabelDropout = 0.1,
        extra_channels: int = 0,
    ) -> None:
        super().__init__()
        channels, *sides = image_shape
        embedding = 4 * width

        def blocks(count: int, channels: int) -> nn.ModuleList:
            return nn.ModuleList(Block(channels, embedding, activation) for _ in range(count))

        # Zeros on the right and below, to whole patches at both resolutions.
        self.padding = [-side % (2 * patch) for side in sides]
        height, breadth = (
            (side + more) // patch for side, more in zip(sides, self.padding, strict=True)
        )
        self.patch = patch
        self.time_embedding = TimeEmbedding(embedding, num_steps, activation)
        self.activation = ACTIVATIONS[activation]()
        self.first = nn.Conv2d((channels + extra_channels) * patch**2, width, 3, padding=1)
        self.position = nn.Parameter(torch.zeros(width, height, breadth))
        self.down = blocks(depth, width)
        self.shrink = nn.Conv2d(width, 2 * width, 2, stride=2)
        self.middle = blocks(middle, 2 * width)
        self.grow = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.join = nn.Conv2d(2 * width, width, 1)
        self.up = blocks(depth, width)
        self.last = nn.Sequential(
            ChannelNorm(width),
            ACTIVATIONS[activation](),
            nn.Conv2d(width, channels * patch**2, 3, padding=1),
        )
        # Last, so that the other weights are those of the unconditional network of the same seed.
        self.label_embedding = LabelEmbedding(num_classes, embedding) if num_classes else None
        self.num_classes = num_classes
        self.label_dropout = label_dropout

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """``[B, C, H, W]`` from x_t ``[B, C + extra_channels, H, W]``, its steps t and labels.

        t is int64 ``[B]``; labels too, each -1 (none) or a class; None is -1 for all.
        """
        embedding = self.activation(embedded(self.time_embedding, self.label_embedding, t, labels))
        below, right = self.padding
        x = nn.functional.pad(x_t, (0, right, 0, below)) if below or right else x_t
        h = self.first(nn.functional.pixel_unshuffle(x, self.patch)) + self.position
        for block in self.down:
            h = block(h, embedding)
        skip, h = h, self.shrink(h)
        for block in self.middle:
            h = block(h, embedding)
        h = self.join(torch.cat([self.grow(h), skip], dim=1))
        for block in self.up:
            h = block(h, embedding)
        output = nn.functional.pixel_shuffle(self.last(h), self.patch)
        return output[:, :, : x_t.shape[2], : x_t.shape[3]]


class Block(nn.Module):
    """h + conv(act(shift + scale norm(conv(act(norm(h)))))), scale and shift from the embedding.

    It starts as the identity: the last convolution and the layer of the embedding start at 0.
    """

    def __init__(self, channels: int, embedding: int, activation: Activation) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            ChannelNorm(channels),
            ACTIVATIONS[activation](),
            nn.Conv2d(channels, channels, 3, padding=1),
            ChannelNorm(channels),
        )
        self.modulate = nn.Linear(embedding, 2 * channels)
        last = nn.Conv2d(channels, channels, 3, padding=1)
        self.outer = nn.Sequential(ACTIVATIONS[activation](), last)
        for parameter in (*self.modulate.parameters(), *last.parameters()):
            nn.init.zeros_(parameter)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        """``[B, channels, H, W]`` from the same and the embedding ``[B, E]``."""
        scale, shift = self.modulate(embedding)[:, :, None, None].chunk(2, dim=1)
        output: Tensor = h + self.outer(self.inner(h) * (1 + scale) + shift)
        return output


class ChannelNorm(nn.Module):
    """h / sqrt(mean of h^2 over the channels), times a gain: RMSNorm (Zhang and Sennrich 2019).

    Each position by itself: a third of the time of a norm over the image, and better here.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))
        self.eps = eps

    def forward(self, h: Tensor) -> Tensor:
        """``[B, channels, H, W]`` from the same."""
        return h * torch.rsqrt(h.square().mean(1, keepdim=True) + self.eps) * self.gain

"""A compact U-Net: residual blocks, group normalisation, attention where the image is smallest."""

from collections.abc import Sequence
from functools import partial
from math import prod

import torch
from torch import Tensor, nn

from thaw.checks import check_between, check_list, check_whole
from thaw.networks.activations import activation as make_activation
from thaw.networks.embeddings import TimeEmbedding, label_embedding
from thaw.networks.sizes import check_cost

GROUPS = 8
# A side of 4096 pixels is halved to one.
MAX_LEVELS = 12


class UNet(nn.Module):
    """Residual blocks at halving resolutions with skip connections (Ho et al. 2020, appendix B).

    28 x 28 goes through 14 x 14 to 7 x 7 and back; any other size works too, each resolution
    being half of the one before, rounded up. Each block is told the sum of the embeddings of t / T
    and of the class label, where there are classes (Dhariwal and Nichol 2021).

    Args:
        image_shape: (C, H, W).
        num_steps: T.
        width: channels at full resolution, a multiple of 8.
        multipliers: of the width at each resolution, from full to smallest.
        num_blocks: residual blocks a resolution on the way down (one more on the way up).
        attention_size: pixels a side of the largest resolution that has attention after each of
            its blocks; the middle of the network has attention always.
        dropout: share of the hidden units dropped in training, in [0, 1].
        activation: a name from :mod:`thaw.networks.activations`.
        num_classes: classes of the labels it takes; None for an unconditional network.
        label_dropout: share of the labels hidden in training, in [0, 1]; the trainer reads it.
        extra_channels: of the input, beside the image's: what the degradation tells of x_t.

    Raises:
        ValueError: one of them is out of its range.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_steps: int,
        width: int = 32,
        multipliers: Sequence[int] = (1, 2, 2),
        num_blocks: int = 1,
        attention_size: int = 0,
        dropout: float = 0.0,
        activation: str = "silu",
        num_classes: int | None = None,
        label_dropout: float = 0.1,
        extra_channels: int = 0,
    ) -> None:
        super().__init__()
        _check(width, multipliers, num_blocks, attention_size, dropout)
        _check_cost([width * each for each in multipliers], num_blocks, image_shape[1:])
        channels = image_shape[0]
        embedding = 4 * width

        side = max(image_shape[1:])
        attends = [-(-side // 2**level) <= attention_size for level in range(len(multipliers))]

        def block(before: int, after: int, attention: bool = False) -> ResidualBlock:
            return ResidualBlock(before, after, embedding, dropout, activation, attention)

        self.time_embedding = TimeEmbedding(embedding, num_steps, activation)
        self.first = nn.Conv2d(channels + extra_channels, width, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        skips, here = [width], width
        for level, multiplier in enumerate(multipliers):
            if level > 0:
                self.down.append(nn.Conv2d(here, here, 3, stride=2, padding=1))
                skips.append(here)
            for _ in range(num_blocks):
                self.down.append(block(here, width * multiplier, attends[level]))
                here = width * multiplier
                skips.append(here)
        self.middle = nn.ModuleList([block(here, here), Attention(here), block(here, here)])
        for level, multiplier in reversed(list(enumerate(multipliers))):
            for _ in range(num_blocks + 1):
                self.up.append(block(here + skips.pop(), width * multiplier, attends[level]))
                here = width * multiplier
        self.last = nn.Sequential(
            nn.GroupNorm(GROUPS, here),
            make_activation(activation),
            _zeroed(nn.Conv2d(here, channels, 3, padding=1)),
        )
        # Last, so that the other weights start as the unconditional network's of the same seed.
        self.label_embedding = label_embedding(num_classes, embedding, label_dropout)
        self.num_classes = num_classes
        self.label_dropout = label_dropout

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """``[B, C, H, W]`` from x_t ``[B, C, H, W]``, its steps t and its labels.

        t is int64 ``[B]``; labels too, each -1 (none) or a class; None is -1 for all.
        """
        embedding = self.time_embedding(t)
        if self.label_embedding is not None and labels is not None:
            embedding = embedding + self.label_embedding(labels)
        h = self.first(x_t)
        skips = [h]
        for layer in self.down:
            h = layer(h, embedding) if isinstance(layer, ResidualBlock) else layer(h)
            skips.append(h)
        for layer in self.middle:
            h = layer(h, embedding)
        for layer in self.up:
            skip = skips.pop()
            if h.shape[-2:] != skip.shape[-2:]:
                h = nn.functional.interpolate(h, size=skip.shape[-2:], mode="nearest")
            h = layer(torch.cat([h, skip], dim=1), embedding)
        output: Tensor = self.last(h)
        return output


class ResidualBlock(nn.Module):
    """h + conv(act(norm(conv(act(norm(h))) + embedding of t))), then attention where asked for."""

    def __init__(
        self,
        before: int,
        after: int,
        embedding: int,
        dropout: float,
        activation: str,
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.GroupNorm(GROUPS, before),
            make_activation(activation),
            nn.Conv2d(before, after, 3, padding=1),
        )
        self.project = nn.Sequential(make_activation(activation), nn.Linear(embedding, after))
        self.outer = nn.Sequential(
            nn.GroupNorm(GROUPS, after),
            make_activation(activation),
            nn.Dropout(dropout),
            _zeroed(nn.Conv2d(after, after, 3, padding=1)),
        )
        self.shortcut = nn.Identity() if before == after else nn.Conv2d(before, after, 1)
        self.attention = Attention(after) if attention else None

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        """``[B, after, H, W]`` from h ``[B, before, H, W]`` and embedding ``[B, E]``."""
        inner = self.inner(h) + self.project(embedding)[:, :, None, None]
        output: Tensor = self.shortcut(h) + self.outer(inner)
        return output if self.attention is None else self.attention(output, embedding)


class Attention(nn.Module):
    """h + attention among all positions (Vaswani et al. 2017), one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = _zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        """``[B, C, H, W]`` from the same; the embedding of t is not used."""
        q, k, v = self.qkv(self.norm(h)).flatten(2).transpose(1, 2).chunk(3, dim=-1)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        output: Tensor = h + self.out(mixed.transpose(1, 2).unflatten(2, h.shape[-2:]))
        return output


def _zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with weights 0, so that its branch starts as nothing."""
    nn.init.zeros_(layer.weight)
    return layer


def _check(
    width: int, multipliers: Sequence[int], num_blocks: int, attention_size: int, dropout: float
) -> None:
    check_whole("model.width", width, GROUPS, 4096)
    if width % GROUPS:
        raise ValueError(f"model.width must be a multiple of {GROUPS}, got {width}")
    check_list("model.multipliers", multipliers, partial(check_whole, high=64), "[1,2,2]")
    if len(multipliers) > MAX_LEVELS:
        raise ValueError(
            f"model.multipliers has {len(multipliers)} entries, of {MAX_LEVELS} at most"
        )
    check_whole("model.num_blocks", num_blocks, 1, 64)
    check_whole("model.attention_size", attention_size, 0)
    check_between("model.dropout", dropout, 0, 1)


def _check_cost(channels: Sequence[int], num_blocks: int, size: Sequence[int]) -> None:
    """Blocks taken to be as wide as the widest neighbour, 40 c^2 weights each; c pixels^2 of
    attention in the middle."""
    weights, operations = 0, 0
    for level in range(len(channels)):
        widest = max(channels[max(level - 1, 0) : level + 2])
        here = (2 * num_blocks + 1) * 40 * widest**2
        pixels = prod(-(-side // 2**level) for side in size)
        weights, operations = weights + here, operations + 2 * here * pixels
    check_cost("model.width, model.multipliers", weights, operations + 4 * channels[-1] * pixels**2)

"""A compact U-Net: residual blocks, group normalisation, attention where the image is smallest."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge, MinLen
from torch import Tensor, nn

from thaw.checks import Count, Share, checked
from thaw.networks.activations import ACTIVATIONS, Activation
from thaw.networks.embeddings import LabelDropout, LabelEmbedding, TimeEmbedding, embedded

GROUPS = 8


class UNet(nn.Module):
    """Residual blocks at halving resolutions with skip connections (Ho et al. 2020, appendix B).

    28 x 28 goes through 14 x 14 to 7 x 7 and back; any other size works too, each resolution
    being half of the one before, rounded up. Each block receives the sum of the embeddings of t / T
    and, where there are classes, of the class label (Dhariwal and Nichol 2021). Other arguments:
    :class:`~thaw.networks.cnn.CNN`.

    Args:
        width: channels at full resolution, a multiple of 8.
        multipliers: factors of the width at each resolution, from full to smallest.
        num_blocks: residual blocks at each resolution on the way down; one more on the way up.
        attention_size: side in pixels of the largest resolution that has attention after each of
            its blocks; the middle of the network always has attention.
        dropout: share of the hidden units dropped in training.
    """

    @checked
    def __init__(
        self,
        image_shape: Sequence[int],
        num_steps: int,
        width: Count = 32,
        multipliers: Annotated[Sequence[Count], MinLen(1)] = (1, 2, 2),
        num_blocks: Count = 1,
        attention_size: Annotated[int, Ge(0)] = 0,
        dropout: Share = 0.0,
        activation: Activation = "silu",
        num_classes: Count | None = None,
        label_dropout: LabelDropout = 0.1,
        extra_channels: int = 0,
    ) -> None:
        super().__init__()
        if width % GROUPS:
            raise ValueError(f"width must be a multiple of {GROUPS}, got {width}")
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
            ACTIVATIONS[activation](),
            _zeroed(nn.Conv2d(here, channels, 3, padding=1)),
        )
        # Last, so that the other weights are those of the unconditional network of the same seed.
        self.label_embedding = LabelEmbedding(num_classes, embedding) if num_classes else None
        self.num_classes = num_classes
        self.label_dropout = label_dropout

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """``[B, C, H, W]`` from x_t ``[B, C + extra_channels, H, W]``, its steps t and labels.

        t is int64 ``[B]``; labels too, each -1 (none) or a class; None is -1 for all.
        """
        embedding = embedded(self.time_embedding, self.label_embedding, t, labels)
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
    """h + conv(act(norm(conv(act(norm(h))) + embedding))), then perhaps attention."""

    def __init__(
        self,
        before: int,
        after: int,
        embedding: int,
        dropout: float,
        activation: Activation,
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.GroupNorm(GROUPS, before),
            ACTIVATIONS[activation](),
            nn.Conv2d(before, after, 3, padding=1),
        )
        self.project = nn.Sequential(ACTIVATIONS[activation](), nn.Linear(embedding, after))
        self.outer = nn.Sequential(
            nn.GroupNorm(GROUPS, after),
            ACTIVATIONS[activation](),
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
        """``[B, C, H, W]`` from ``[B, C, H, W]``; the embedding is not used."""
        q, k, v = self.qkv(self.norm(h)).flatten(2).transpose(1, 2).chunk(3, dim=-1)
        if torch.compiler.is_exporting():  # ONNX has attention by heads alone
            q, k, v = q.unsqueeze(1), k.unsqueeze(1), v.unsqueeze(1)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v).flatten(0, -3)
        output: Tensor = h + self.out(mixed.transpose(1, 2).unflatten(2, h.shape[-2:]))
        return output


def _zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with weights 0, so that its branch starts at 0."""
    nn.init.zeros_(layer.weight)
    return layer

"""A diffusion transformer: attention among patches, with t and the label in each block's norms."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from thaw.checks import Count, checked
from thaw.networks.activations import ACTIVATIONS, Activation
from thaw.networks.embeddings import LabelDropout, LabelEmbedding, TimeEmbedding, embedded

# Rotations slow down from 1 radian a patch towards 1 / 100, which suits grids of some ten patches
# (Heo et al. 2024); texts take 10,000.
ROTARY_BASE = 100.0


class DiT(nn.Module):
    """Patches of pixels as tokens, and blocks of attention and an MLP that the embedding modulates.

    Peebles and Xie 2023 (arXiv:2212.09748) with adaLN-Zero: each block is the identity at the
    start, and the output 0. Other arguments: :class:`~thaw.networks.cnn.CNN`.

    Args:
        patch: side of a patch in pixels, which divides the image's sides.
        width: channels of a token, a multiple of ``heads``, of 4 x ``heads`` with rotary positions.
        depth: number of blocks.
        heads: heads of the attention.
        positions: ``learned`` adds a table to the tokens; ``rotary`` also turns queries and keys
            (:func:`rotations`). Not without the table, as in EVA-02 (Fang et al. 2023): offsets
            alone do not say which row of averaged columns is which.
        activation: the activation function in the MLPs.
    """

    rotations: Tensor | None

    @checked
    def __init__(
        self,
        image_shape: Sequence[int],
        num_steps: int,
        patch: Count = 4,
        width: Count = 64,
        depth: Count = 6,
        heads: Count = 4,
        positions: Literal["learned", "rotary"] = "rotary",
        activation: Activation = "gelu",
        num_classes: Count | None = None,
        label_dropout: LabelDropout = 0.1,
        extra_channels: int = 0,
    ) -> None:
        super().__init__()
        channels, *sides = image_shape
        if any(side % patch for side in sides):
            raise ValueError(f"patch must divide the image's sides {sides}, got {patch}")
        factor = 4 * heads if positions == "rotary" else heads
        if width % factor:
            raise ValueError(
                f"width must be a multiple of {factor} with heads={heads} and "
                f"positions={positions}, got {width}"
            )
        height, breadth = (side // patch for side in sides)
        self.patch, self.rows = patch, height
        self.time_embedding = TimeEmbedding(width, num_steps, "silu")
        self.first = nn.Linear((channels + extra_channels) * patch**2, width)
        self.position = nn.Parameter(torch.empty(height * breadth, width))
        nn.init.trunc_normal_(self.position, std=0.02)  # as in ViT (Dosovitskiy et al. 2021)
        is_rotary = positions == "rotary"
        turns = rotations(height, breadth, width // heads) if is_rotary else None
        self.register_buffer("rotations", turns, persistent=False)
        self.blocks = nn.ModuleList(Block(width, heads, activation) for _ in range(depth))
        self.modulate = nn.Linear(width, 2 * width)
        self.norm = _norm(width)
        self.last = nn.Linear(width, channels * patch**2)
        for parameter in (*self.modulate.parameters(), *self.last.parameters()):
            nn.init.zeros_(parameter)
        # Last, so that the other weights are those of the unconditional network of the same seed.
        self.label_embedding = LabelEmbedding(num_classes, width) if num_classes else None
        self.num_classes = num_classes
        self.label_dropout = label_dropout

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """``[B, C, H, W]`` from x_t ``[B, C + extra_channels, H, W]``, its steps t and labels.

        t is int64 ``[B]``; labels too, each -1 (none) or a class; None is -1 for all.
        """
        embedding = embedded(self.time_embedding, self.label_embedding, t, labels)
        embedding = nn.functional.silu(embedding)
        h = self.first(tokens(x_t, self.patch)) + self.position
        for block in self.blocks:
            h = block(h, embedding, self.rotations)
        shift, scale = self.modulate(embedding).unsqueeze(1).chunk(2, dim=-1)
        return image(self.last(self.norm(h) * (1 + scale) + shift), self.patch, self.rows)


class Block(nn.Module):
    """h + gate attention(scale norm(h) + shift), then the same with an MLP: adaLN-Zero (figure 3).

    Shifts, scales and gates come from the embedding by a layer that starts at 0: so the block
    starts as the identity.
    """

    def __init__(self, width: int, heads: int, activation: Activation) -> None:
        super().__init__()
        self.modulate = nn.Linear(width, 6 * width)
        self.before_attention, self.before_mlp = _norm(width), _norm(width)
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), ACTIVATIONS[activation](), nn.Linear(4 * width, width)
        )
        for parameter in self.modulate.parameters():
            nn.init.zeros_(parameter)

    def forward(self, h: Tensor, embedding: Tensor, rotations: Tensor | None) -> Tensor:
        """``[B, N, width]`` from the same, the embedding ``[B, width]``, and perhaps rotations."""
        shift, scale, gate, *of_mlp = self.modulate(embedding).unsqueeze(1).chunk(6, dim=-1)
        h = h + gate * self.attention(self.before_attention(h) * (1 + scale) + shift, rotations)
        shift, scale, gate = of_mlp
        output: Tensor = h + gate * self.mlp(self.before_mlp(h) * (1 + scale) + shift)
        return output


class Attention(nn.Module):
    """Attention among all tokens in several heads (Vaswani et al. 2017)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, h: Tensor, rotations: Tensor | None) -> Tensor:
        """``[B, N, width]`` from the same; rotations as :func:`rotated` takes them."""
        q, k, v = self.qkv(h).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if rotations is not None:
            q, k = rotated(q, rotations), rotated(k, rotations)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        output: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return output


def tokens(images: Tensor, patch: int) -> Tensor:
    """``[B, N, C patch^2]`` from ``[B, C, H, W]``: the patches, row by row."""
    return nn.functional.pixel_unshuffle(images, patch).flatten(2).transpose(1, 2)


def image(tokens: Tensor, patch: int, rows: int) -> Tensor:
    """``[B, C, H, W]``, the inverse of :func:`tokens`, for ``rows`` rows of patches."""
    return nn.functional.pixel_shuffle(tokens.transpose(1, 2).unflatten(2, (rows, -1)), patch)


def rotations(height: int, breadth: int, channels: int) -> Tensor:
    """Cosines and sines ``[2, N, channels / 2]`` of the angles by which a head's pairs turn.

    Rotary positions (Su et al. 2021) along two axes (Heo et al. 2024, arXiv:2403.13298): the first
    half of the pairs turns with the row of the patch, the second with its column, pair k by
    ROTARY_BASE^(-4 k / channels) a patch.
    """
    speeds = ROTARY_BASE ** -(torch.arange(0, channels, 4) / channels)
    down, right = (torch.arange(side)[:, None] * speeds for side in (height, breadth))
    grid = (height, breadth, -1)
    angles = torch.cat([down[:, None].expand(grid), right.expand(grid)], dim=-1).flatten(0, 1)
    return torch.stack([angles.cos(), angles.sin()])


def rotated(x: Tensor, rotations: Tensor) -> Tensor:
    """``[B, heads, N, D]`` from the same: channels k and k + D / 2 turned as a pair.

    Scores q k then depend on the offset between two patches, not on where they are.
    """
    cos, sin = rotations
    a, b = x.chunk(2, dim=-1)
    # In the precision of the table, which autocast leaves alone.
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).type_as(x)


def _norm(width: int) -> nn.LayerNorm:
    return nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)

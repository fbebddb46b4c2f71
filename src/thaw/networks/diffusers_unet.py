"""The U-Net of Hugging Face's diffusers as a network of thaw's, to compare with and to export."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, MinLen
from torch import Tensor, nn

from thaw.checks import Count, Share, checked
from thaw.networks.embeddings import LabelDropout
from thaw.provenance import install_command

GROUPS = 8


class DiffusersUNet(nn.Module):
    """``diffusers.UNet2DModel``, asked for step t as t - 1, as its schedulers count.

    So ``unet``, saved by itself, is the same network to a scheduler of diffusers. The label -1,
    "none", is one class more. Other arguments: :class:`~thaw.networks.unet.UNet`.

    Args:
        multipliers: factors of the width at each resolution; the sides of the image are multiples
            of 2^(n - 1) for n of them.
        num_blocks: residual blocks at each resolution on the way down; one more on the way up.
        attention_size: side in pixels of the largest resolution with attention after each block;
            the middle of the network always has attention.
        activation: one of those that diffusers has.
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
        activation: Literal["silu", "gelu", "mish", "relu"] = "silu",
        num_classes: Count | None = None,
        label_dropout: LabelDropout = 0.1,
        extra_channels: int = 0,
    ) -> None:
        super().__init__()
        if width % GROUPS:
            raise ValueError(f"width must be a multiple of {GROUPS}, got {width}")
        channels, *sides = image_shape
        smallest = 2 ** (len(multipliers) - 1)
        if any(side % smallest for side in sides):
            raise ValueError(
                f"multipliers must halve the image's sides {sides} {len(multipliers) - 1} times "
                f"without a remainder, got {list(multipliers)}: give fewer, or use model=unet"
            )
        attends = [max(sides) // 2**level <= attention_size for level in range(len(multipliers))]
        self.unet: nn.Module = _unet_class()(
            sample_size=tuple(sides),
            in_channels=channels + extra_channels,
            out_channels=channels,
            down_block_types=["AttnDownBlock2D" if each else "DownBlock2D" for each in attends],
            up_block_types=["AttnUpBlock2D" if each else "UpBlock2D" for each in attends[::-1]],
            block_out_channels=[width * factor for factor in multipliers],
            layers_per_block=num_blocks,
            dropout=dropout,
            act_fn=activation,
            norm_num_groups=GROUPS,
            attention_head_dim=GROUPS,
            num_class_embeds=num_classes + 1 if num_classes else None,
        )
        self.num_classes = num_classes
        self.label_dropout = label_dropout

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """``[B, C, H, W]`` from x_t ``[B, C + extra_channels, H, W]``, its steps t and labels.

        t is int64 ``[B]``; labels too, each -1 (none) or a class; None is -1 for all.
        """
        classes = None
        if self.num_classes is not None:
            known = torch.full_like(t, -1, dtype=torch.int64) if labels is None else labels
            classes = known.where(known >= 0, self.num_classes)
        output: Tensor = self.unet(x_t, t - 1, classes, return_dict=False)[0]
        return output


def _unet_class() -> Any:
    try:
        from diffusers import UNet2DModel
    except ImportError as error:
        hint = install_command("diffusers")
        raise ValueError(f"model=diffusers_unet needs diffusers: {hint}") from error
    return UNet2DModel

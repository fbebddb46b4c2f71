"""The convolutional network of the study that thaw reproduces."""

from collections.abc import Sequence
from typing import Annotated

from annotated_types import MinLen
from torch import Tensor, nn

from thaw.checks import Count, checked
from thaw.networks.activations import ACTIVATIONS, Activation
from thaw.networks.embeddings import LabelDropout, LabelEmbedding, TimeEmbedding, embedded


class CNN(nn.Module):
    """Blocks of conv -> LayerNorm over (C, H, W) -> activation, then one plain convolution.

    An embedding of t / T, and of the class label where there are classes, is added after the first
    block. With the defaults on 1 x 28 x 28 it has 291,217 parameters.

    Args:
        image_shape: (C, H, W).
        num_steps: T.
        hidden: output channels of the blocks.
        kernel_size: kernel size of the blocks in pixels, odd.
        last_kernel_size: kernel size of the last convolution in pixels, odd.
        activation: the activation function.
        num_classes: number of classes of the labels; None for an unconditional network.
        label_dropout: share of the labels hidden in training, which the trainer reads.
        extra_channels: channels of the input beside the image's, from the degradation.
    """

    @checked
    def __init__(
        self,
        image_shape: Sequence[int],
        num_steps: int,
        hidden: Annotated[Sequence[Count], MinLen(1)] = (16, 32, 32, 16),
        kernel_size: Count = 7,
        last_kernel_size: Count = 3,
        activation: Activation = "gelu",
        num_classes: Count | None = None,
        label_dropout: LabelDropout = 0.1,
        extra_channels: int = 0,
    ) -> None:
        super().__init__()
        for name, size in (("kernel_size", kernel_size), ("last_kernel_size", last_kernel_size)):
            if size % 2 == 0:
                raise ValueError(f"{name} must be odd, to keep the image's size, got {size}")
        channels, height, width = image_shape
        widths = [channels + extra_channels, *hidden]
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, kernel_size, padding=kernel_size // 2),
                nn.LayerNorm((after, height, width)),
                ACTIVATIONS[activation](),
            )
            for before, after in zip(widths, hidden, strict=False)
        )
        self.time_embedding = TimeEmbedding(hidden[0], num_steps, activation)
        self.last = nn.Conv2d(hidden[-1], channels, last_kernel_size, padding=last_kernel_size // 2)
        # Last, so that the other weights are those of the unconditional network of the same seed.
        self.label_embedding = LabelEmbedding(num_classes, hidden[0]) if num_classes else None
        self.num_classes = num_classes
        self.label_dropout = label_dropout

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """``[B, C, H, W]`` from x_t ``[B, C + extra_channels, H, W]``, its steps t and labels.

        t is int64 ``[B]``; labels too, each -1 (none) or a class; None is -1 for all.
        """
        embedding = embedded(self.time_embedding, self.label_embedding, t, labels)
        h = self.blocks[0](x_t) + embedding[:, :, None, None]
        for block in self.blocks[1:]:
            h = block(h)
        output: Tensor = self.last(h)
        return output

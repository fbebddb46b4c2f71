"""Fading the colours to grey."""

from collections.abc import Sequence

from thaw.checks import Count, checked
from thaw.diffusion.degradations.fade import Fade


class Decolour(Fade):
    """x_t = (1 - t / T) x_0 + t / T m(x_0), m the mean of the channels.

    The linear colour desaturation of Bansal et al. 2022 in closed form.

    Args:
        image_shape: (C, H, W), C at least 2.
        num_steps: T.

    Raises:
        ValueError: the images have no colours.
    """

    mean_over = (1,)

    @checked
    def __init__(self, image_shape: Sequence[int], num_steps: Count = 20) -> None:
        super().__init__(num_steps)
        if image_shape[0] < 2:
            raise ValueError(
                f"Decolour needs images of 2 channels or more, got {image_shape[0]}: use images in "
                "colour"
            )

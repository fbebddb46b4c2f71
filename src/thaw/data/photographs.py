"""Crops of the two photographs that come inside scikit-learn: colour without a download."""

import math
from typing import Annotated, ClassVar

import torch
from annotated_types import Interval
from torch import Tensor
from torch.nn import functional

from thaw.checks import Count, Seed, checked
from thaw.data.sources import ImageSet, Source
from thaw.seeding import generator

# Rows of each photograph to train on; the other 142 are for testing.
NUM_TRAIN_ROWS = 285
LARGEST_SIZE = 142


class Photographs(Source):
    """Random square crops of a Chinese temple (class 0) and a flower (class 1), 640 x 427 each.

    The training images lie in the upper two thirds of a photograph, the test images in the lower
    third, so that they share no pixel. They are cut out of it at full size, half, a quarter and so
    on, as long as the lower third holds them; every size has the same share. The classes take
    turns. Two photographs are little to learn from: for trying out, not for scores.
    """

    name = "photographs"
    num_classes = 2
    files: ClassVar[tuple[str, ...]] = ("china.jpg", "flower.jpg")

    @checked
    def __init__(
        self,
        image_size: Annotated[int, Interval(ge=1, le=LARGEST_SIZE)] = 28,
        num_images: Count = 5000,
        num_test_images: Count = 500,
        colour: bool = True,
        seed: Seed = 0,
    ) -> None:
        """
        Args:
            image_size: side of a crop in pixels.
            num_images: number of training crops.
            num_test_images: number of test crops.
            colour: three channels, else one (grey).
            seed: seed for the places of the crops.
        """
        self.image_shape = (3 if colour else 1, image_size, image_size)
        self.num_images = num_images
        self.num_test_images = num_test_images
        self.seed = seed
        largest = math.floor(math.log2(LARGEST_SIZE / image_size))
        self.scales = [2**level for level in range(largest + 1)]

    def load(self) -> tuple[ImageSet, ImageSet]:
        """The training and the test crops."""
        photographs = [self._read(name) for name in self.files]
        upper = [image[:, :NUM_TRAIN_ROWS] for image in photographs]
        lower = [image[:, NUM_TRAIN_ROWS:] for image in photographs]
        train = self._crops(upper, self.num_images, "train")
        return train, self._crops(lower, self.num_test_images, "test")

    def _read(self, name: str) -> Tensor:
        """A photograph, float32 0..255 ``[C, H, W]``."""
        # Imported here, for they take longer than torch.
        from sklearn.datasets import load_sample_image
        from torchvision.transforms.v2.functional import rgb_to_grayscale

        image = torch.from_numpy(load_sample_image(name).copy()).permute(2, 0, 1).float()
        return rgb_to_grayscale(image) if self.image_shape[0] == 1 else image

    def _crops(self, regions: list[Tensor], num_images: int, split: str) -> ImageSet:
        draws = generator(self.seed, "photographs", split)
        labels = torch.arange(num_images) % len(regions)
        scales = torch.randint(len(self.scales), (num_images,), generator=draws)
        places = torch.rand(num_images, 2, generator=draws, dtype=torch.float64)
        images = torch.empty(num_images, *self.image_shape, dtype=torch.uint8)
        for label, region in enumerate(regions):
            for number, scale in enumerate(self.scales):
                chosen = (labels == label) & (scales == number)
                # A mean of scale x scale pixels, no more: neighbours beyond the cut have no part.
                smaller = functional.avg_pool2d(region, scale).round().to(torch.uint8)
                images[chosen] = _cut_out(smaller, places[chosen], self.image_shape[1])
        return ImageSet(images, labels)


def _cut_out(image: Tensor, places: Tensor, size: int) -> Tensor:
    """``[n, C, size, size]`` of ``[C, H, W]``, at places ``[n, 2]`` that are shares of the way."""
    windows = image.unfold(1, size, 1).unfold(2, size, 1)
    y, x = (places * torch.tensor(windows.shape[1:3])).long().unbind(1)
    return windows[:, y, x].transpose(0, 1)

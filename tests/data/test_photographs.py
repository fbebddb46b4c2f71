"""Crops of each is found in its part of the right one, at one of the scales."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image
from torch import Tensor

from thaw.data.photographs import Photographs
from thaw.data.sources import ImageSet

CUT = 285


def regions(number: int, scale: int) -> dict[str, np.ndarray]:
    """The two parts of a photograph, means of scale x scale pixels, ``[C, H, W]``."""
    image = load_sample_image(Photographs.files[number]).transpose(2, 0, 1).astype(np.float64)
    parts = {}
    for split, part in (("train", image[:, :CUT]), ("test", image[:, CUT:])):
        height, width = (side // scale for side in part.shape[1:])
        part = part[:, : height * scale, : width * scale]
        blocks = part.reshape(3, height, scale, width, scale)
        parts[split] = blocks.mean((2, 4)).round().astype(np.uint8)
    return parts


def is_in(crop: Tensor, region: np.ndarray) -> bool:
    pixels, size = crop.numpy(), crop.shape[1]
    windows = np.lib.stride_tricks.sliding_window_view(region, (size, size), axis=(1, 2))
    # Only where two corners agree is the rest looked at.
    corners = [(0, 0), (size - 1, size - 1)]
    agree = [(windows[..., y, x] == pixels[:, None, None, y, x]).all(0) for y, x in corners]
    candidates = windows[:, agree[0] & agree[1]]
    return bool((candidates == pixels[:, None]).all((0, 2, 3)).any())


def test_each_crop_lies_in_its_part_of_its_photograph_at_one_scale() -> None:
    train, test = Photographs(num_images=10, num_test_images=6).load()
    scales = set()
    for split, images in (("train", train), ("test", test)):
        for crop, label in zip(images.images, images.labels.tolist(), strict=True):
            found = [k for k in (1, 2, 4) if is_in(crop, regions(label, k)[split])]
            assert found
            scales.update(found)
            other = "test" if split == "train" else "train"
            assert not any(is_in(crop, regions(label, k)[other]) for k in (1, 2, 4))
    assert scales == {1, 2, 4}


def test_shapes_and_classes() -> None:
    train, test = Photographs(image_size=20, num_images=30, num_test_images=10).load()
    assert (train.images.shape, train.images.dtype) == ((30, 3, 20, 20), torch.uint8)
    assert (test.images.shape, test.images.dtype) == ((10, 3, 20, 20), torch.uint8)
    assert train.labels.tolist() == 15 * [0, 1]
    assert train.labels.dtype == torch.int64
    source = Photographs()
    assert (source.name, source.image_shape, source.num_classes) == ("photographs", (3, 28, 28), 2)


def test_grey_crops_are_the_luma_of_the_coloured_ones() -> None:
    coloured, grey = (
        Photographs(num_images=200, num_test_images=2, colour=colour).load()[0].images.double()
        for colour in (True, False)
    )
    luma = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64).view(1, 3, 1, 1)
    difference = grey - (coloured * luma).sum(1, keepdim=True)
    assert difference.abs().max() < 1.1  # two roundings
    assert difference.mean().abs() < 0.1


def test_the_same_seed_cuts_the_same_and_leaves_the_global_generator_alone() -> None:
    def loaded(seed: int) -> tuple[ImageSet, ImageSet]:
        return Photographs(num_images=20, num_test_images=20, seed=seed).load()

    before = torch.random.get_rng_state()
    for first, again, other in zip(loaded(1), loaded(1), loaded(2), strict=True):
        assert torch.equal(first.images, again.images)
        assert not torch.equal(first.images, other.images)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(("size", "scales"), [(71, 2), (72, 1), (142, 1)])
def test_as_many_scales_as_the_lower_third_holds(size: int, scales: int) -> None:
    source = Photographs(image_size=size, num_images=8, num_test_images=8)
    assert source.scales == [2**k for k in range(scales)]
    for images in source.load():
        assert images.images.shape == (8, 3, size, size)

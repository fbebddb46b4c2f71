"""Augmentation: each image on its own, repeatable, resumable in mid-epoch, never in validation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from data_support import Recorder
from hydra.utils import instantiate
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor
from torchvision.transforms import v2

from thaw.data.augment import augmented
from thaw.data.loader import ShuffledBatchLoader
from thaw.data.module import ImageDataModule
from thaw.data.sources import ImageSet, Source
from thaw.pixels import PixelRange
from thaw.training.loaders import Loaders

FOLDER = Path(__file__).resolve().parents[2] / "conf" / "data" / "augment"
CHOICES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
SHAPE = (3, 8, 8)
BYTES = PixelRange(0.0, 255.0)
BATCH, NUM_BATCHES, NUM_EPOCHS = 8, 5, 3
AFFINE = v2.RandomAffine(20, translate=(0.2, 0.2))


def noise(num_images: int) -> ImageSet:
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (num_images, *SHAPE), generator=draw, dtype=torch.uint8)
    return ImageSet(images, torch.arange(num_images))


class Noise(Source):
    """A source of images that no mirroring maps onto one another."""

    name = "noise"
    image_shape = SHAPE
    num_classes = 50

    def load(self) -> tuple[ImageSet, ImageSet]:
        return noise(45), noise(11)


def loader(transform: Callable[[Tensor], Tensor] | None, seed: int = 3) -> ShuffledBatchLoader:
    return ShuffledBatchLoader(noise(45), BYTES, BATCH, seed, augment=transform)


def epoch(shuffled: ShuffledBatchLoader, number: int) -> list[Tensor]:
    shuffled.sampler.set_epoch(number)
    return [x_0 for x_0, _ in shuffled]


def same(one: list[Tensor], two: list[Tensor]) -> bool:
    return len(one) == len(two) and all(map(torch.equal, one, two))


def test_each_image_is_mirrored_or_not_on_its_own() -> None:
    images = noise(2000).images
    mirrored = augmented(images, v2.RandomHorizontalFlip(0.3), seed=1)
    is_mirrored = (mirrored == images.flip(-1)).flatten(1).all(1)
    is_left = (mirrored == images).flatten(1).all(1)
    assert torch.equal(is_mirrored, ~is_left)
    assert abs(is_mirrored.double().mean() - 0.3) < 4 * (0.21 / 2000) ** 0.5
    pairs = (is_mirrored[1:] & is_mirrored[:-1]).double().mean()
    assert abs(pairs - 0.09) < 0.03  # neighbours are independent


def test_the_seed_alone_decides_and_the_global_generator_is_left_alone() -> None:
    images = noise(16).images
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = augmented(images, AFFINE, seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(augmented(images, AFFINE, seed=5), first)
    assert not torch.equal(augmented(images, AFFINE, seed=6), first)
    assert (first.shape, first.dtype) == (images.shape, torch.uint8)


def test_batches_depend_on_seed_epoch_and_batch_alone() -> None:
    whole = [epoch(loader(AFFINE), number) for number in (0, 1)]
    again = loader(AFFINE)
    assert same(epoch(again, 1), whole[1])
    assert same(epoch(again, 0), whole[0])
    # The same images every time, so what differs is how each batch was changed.
    constant = ImageSet(noise(1).images.expand(45, *SHAPE).contiguous(), torch.arange(45))
    batches = []
    for seed in (3, 4):
        shuffled = ShuffledBatchLoader(constant, BYTES, BATCH, seed, augment=AFFINE)
        batches += [*epoch(shuffled, 0), *epoch(shuffled, 1)]
    assert len({batch.numpy().tobytes() for batch in batches}) == len(batches) == 20


def test_after_a_stop_the_rest_of_the_epoch_is_the_same() -> None:
    expected = epoch(loader(AFFINE), 4)
    stopped = loader(AFFINE)
    stopped.sampler.set_epoch(4)
    batches = iter(stopped)
    first = [next(batches)[0] for _ in range(3)]
    continued = loader(AFFINE)
    continued.load_state_dict(stopped.state_dict())
    torch.manual_seed(99)
    assert same(first + epoch(continued, 4), expected)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_in_training_a_resumed_run_sees_exactly_what_an_undisturbed_one_does(
    fit: Callable[..., None], tmp_path: Path
) -> None:
    def run(augment: Any, **options: Any) -> Recorder:
        torch.manual_seed(7)
        recorder = Recorder()
        data = ImageDataModule(Noise(), BATCH, seed=3, augment=augment)
        fit(recorder, Loaders(data), **options)
        return recorder

    plain, whole = run(None), run(AFFINE)
    assert not set(plain.sums) & set(whole.sums)
    assert len(set(whole.sums)) == NUM_BATCHES * NUM_EPOCHS
    assert whole.validated_sums == plain.validated_sums
    assert whole.drawn == plain.drawn  # as dropout would: augmentation leaves no trace
    saving = ModelCheckpoint(tmp_path, "stopped", every_n_train_steps=7)
    stopped = run(AFFINE, max_steps=7, callbacks=[saving])
    resumed = run(AFFINE, ckpt_path=tmp_path / "stopped.ckpt")
    assert stopped.sums + resumed.sums == whole.sums


@pytest.mark.parametrize(
    ("transform", "complaint"),
    [
        (v2.RandomCrop(6), r"must keep images uint8 \[3, 8, 8\], not make them .*\[3, 6, 6\]"),
        (v2.ToDtype(torch.float32), "not make them torch.float32"),
        (v2.RandomCrop(9), "augment must take images uint8"),
        (5, "augment must be "),
    ],
)
def test_a_transform_that_does_not_fit_is_refused_at_once(transform: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as error:
        ImageDataModule(Noise(), augment=transform)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_changes_training_images_and_nothing_else(name: str) -> None:
    transform = instantiate(OmegaConf.load(FOLDER / f"{name}.yaml"), _convert_="all")
    images = noise(64).images
    changed = augmented(images, transform, seed=0)
    share = (changed != images).flatten(1).any(1).double().mean()
    assert share > 0.25
    data = ImageDataModule(Noise(), BATCH, pixel_range=(0, 255), augment=transform)
    data.setup()
    shown = torch.cat([x_0 for x_0, _ in data.val_dataloader()])
    assert torch.equal(shown, noise(11).images.float())
    assert torch.equal(data.train_images, noise(45).images)


@pytest.mark.gpu
def test_on_a_gpu_its_generator_is_left_alone_too() -> None:
    images = noise(16).images.cuda()
    transform = v2.Compose([AFFINE, v2.GaussianNoise()])
    before = torch.cuda.get_rng_state()
    first = augmented(images, transform, seed=5)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    torch.cuda.manual_seed(1)
    assert torch.equal(augmented(images, transform, seed=5), first)

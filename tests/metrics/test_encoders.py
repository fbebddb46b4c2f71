"""The packaged encoder: accuracy on real digits, its files, and how a wrong file is refused."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from thaw.data.sources import ImageSet
from thaw.metrics.encoders import ClassifierEncoder, load_encoder, packaged_path, reference_path
from thaw.metrics.fitting import encode
from thaw.metrics.frechet import moments
from thaw.metrics.reference import Reference
from thaw.metrics.suite import ScoreSuite
from thaw.metrics.train_encoder import measure_accuracy


def test_at_least_994_of_1000_real_test_digits_are_classified_correctly(
    encoder: ClassifierEncoder, real_mnist: tuple[ImageSet, ImageSet]
) -> None:
    test = real_mnist[1]
    assert len(test.images) == 10_000
    assert measure_accuracy(encoder, test.images, test.labels) >= 0.994


@pytest.mark.slow
def test_packaged_reference_is_that_of_the_60000_training_images(
    encoder: ClassifierEncoder, real_mnist: tuple[ImageSet, ImageSet]
) -> None:
    features, logits = encode(encoder, real_mnist[0].images)
    reference = Reference.load(reference_path(packaged_path("mnist")))
    mean, cov = moments(features)
    assert reference.num_images == len(features) == 60_000
    torch.testing.assert_close(reference.mean, mean, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(reference.cov, cov, rtol=1e-4, atol=1e-5)
    counts = logits.argmax(dim=1).bincount(minlength=10)
    # An image on the border of two classes may fall to either side on another processor.
    assert (reference.class_counts - counts).abs().sum() <= 4
    distances = torch.cdist(reference.features[:200].float(), features).min(dim=1).values
    assert distances.max() < 1e-2


@pytest.mark.slow
def test_packaged_floors_are_those_of_the_10000_test_images(
    suite: ScoreSuite, real_mnist: tuple[ImageSet, ImageSet]
) -> None:
    for batch in real_mnist[1].images.split(500):
        suite.update(batch)
    scores = suite.compute()
    for name in ("fid", "kid", "precision", "recall", "class_kl"):
        assert scores[name] == pytest.approx(scores[f"{name}_floor"], rel=1e-3, abs=1e-5)
    # The images come in another order, so its ten parts are others.
    assert scores["is_mean"] == pytest.approx(scores["is_floor"], abs=0.02)


def test_package_data_is_small_and_says_what_it_is(encoder: ClassifierEncoder) -> None:
    weights = packaged_path("mnist")
    assert weights.stat().st_size < 1_000_000
    assert sum(file.stat().st_size for file in weights.parent.iterdir()) < 2_000_000
    assert encoder.name == Reference.load(reference_path(weights)).encoder == "mnist-cnn-v1"
    assert encoder.dataset == "mnist"
    assert encoder.name in weights.with_suffix(".md").read_text()


def test_outputs_are_features_that_the_head_turns_into_logits(
    encoder: ClassifierEncoder, digits: Tensor
) -> None:
    features, logits = encoder(digits[:50])
    assert features.shape == (50, encoder.num_features)
    assert 64 <= encoder.num_features <= 128
    torch.testing.assert_close(encoder.head(features), logits)
    assert logits.argmax(dim=1).tolist() == [digit % 10 for digit in range(50)]


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (torch.zeros(2, 3, 28, 28, dtype=torch.uint8), r"\[N, 1, 28, 28\], not \[N, 3, 28, 28\]"),
        (torch.zeros(2, 1, 32, 32, dtype=torch.uint8), r"\[N, 1, 28, 28\], not \[N, 1, 32, 32\]"),
    ],
)
def test_images_that_do_not_fit_are_refused(
    encoder: ClassifierEncoder, images: Tensor, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        encoder.check_images(images)


def test_saved_and_loaded_is_the_same_encoder(
    encoder: ClassifierEncoder, digits: Tensor, tmp_path: Path
) -> None:
    encoder.save(tmp_path / "copy.safetensors")
    copy = load_encoder(str(tmp_path / "copy.safetensors"))
    assert torch.equal(copy(digits[:20])[1], encoder(digits[:20])[1])
    assert copy.fingerprint() == encoder.fingerprint()
    assert copy.name == f"mnist-cnn-v1-{encoder.fingerprint()[:8]}"
    assert copy.reference_path is None
    assert not any(parameter.requires_grad for parameter in copy.parameters())


def truncated(path: Path) -> None:
    path.write_bytes(packaged_path("mnist").read_bytes()[:1000])


def pickled(path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, path)


def another_format(path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, path)


def other_weights(path: Path) -> None:
    sizes = '{"image_shape": [1, 28, 28], "num_features": 64, "num_classes": 10}'
    metadata = {"format": "thaw-encoder", "name": "x", "dataset": "x", "sizes": sizes}
    save_file({"weight": torch.zeros(3)}, path, metadata)


@pytest.mark.parametrize("spoil", [truncated, pickled, another_format, other_weights, Path.touch])
def test_a_wrong_file_is_one_clear_line(spoil: object, tmp_path: Path) -> None:
    path = tmp_path / "broken.safetensors"
    assert callable(spoil)
    spoil(path)
    with pytest.raises(ValueError, match=r"broken\.safetensors") as caught:
        load_encoder(str(path))
    assert "\n" not in str(caught.value)


def test_no_such_encoder() -> None:
    with pytest.raises(ValueError, match=r"mnist or a \.safetensors file"):
        load_encoder("mnits")
    with pytest.raises(FileNotFoundError, match=r"gone\.safetensors: train one with"):
        load_encoder("gone.safetensors")

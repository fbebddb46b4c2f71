"""Training of an encoder: what it writes, that it learns, and that folding changes nothing."""

import pytest
import torch
from torch import Tensor, nn

from thaw.data.sources import MNIST5k
from thaw.metrics.encoders import build_body, load_encoder, scale
from thaw.metrics.reference import Reference
from thaw.metrics.suite import ScoreSuite
from thaw.metrics.train_encoder import (
    EncoderFiles,
    fold_batch_norm,
    train_and_write,
    train_encoder,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> EncoderFiles:
    train, test = MNIST5k().load()
    folder = tmp_path_factory.mktemp("encoder") / "new"
    return train_and_write(
        train.images[:1500],
        train.labels[:1500],
        test.images[:200],
        test.labels[:200],
        num_classes=10,
        name="digits",
        out_dir=folder,
        seed=1,
        epochs=2,
        num_floor_draws=2,
    )


def test_it_learns_and_says_how_well(written: EncoderFiles) -> None:
    assert written.test_accuracy > 0.6
    card = written.card.read_text()
    assert f"{written.test_accuracy:.2%} on the test images" in card
    assert "digits-cnn-v1" in card
    assert "seed 1" in card
    assert "| 200 |" in card
    assert {file.name for file in written.encoder.parent.iterdir()} == {
        "digits.md", "digits.safetensors", "digits_reference.safetensors",
    }  # fmt: skip


def test_what_it_writes_is_what_a_suite_loads(written: EncoderFiles, digits: Tensor) -> None:
    suite = ScoreSuite(load_encoder(str(written.encoder)))
    assert suite.encoder.name == f"digits-cnn-v1-{suite.encoder.fingerprint()[:8]}"
    assert suite.encoder.dataset == "digits"
    assert suite.reference is not None
    assert suite.reference.num_images == 1500
    suite.update(digits[2000:2300])
    scores = suite.compute()
    assert 0 < scores["fid"] < 5 * scores["fid_floor"]
    assert Reference.load(written.reference).floor_sizes.tolist() == [2, 3, 5, 10, 20, 50, 100, 200]


def test_one_seed_gives_one_encoder_whatever_the_global_generator(digits: Tensor) -> None:
    labels = torch.arange(256) % 10
    fingerprints = []
    for global_seed, seed in [(1, 0), (2, 0), (2, 1)]:
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        encoder = train_encoder(digits[:256], labels, 10, "digits", seed, epochs=1)
        fingerprints.append(encoder.fingerprint())
        assert torch.equal(torch.get_rng_state(), before)
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_adapts_to_colour_other_sizes_and_other_classes() -> None:
    images = torch.randint(256, (130, 3, 40, 33), dtype=torch.uint8)
    encoder = train_encoder(images, torch.arange(130) % 4, 4, "noise", seed=0, epochs=1)
    features, logits = encoder(images[:5])
    assert features.shape == (5, 64)
    assert logits.shape == (5, 4)
    assert encoder.image_shape == (3, 40, 33)


def test_images_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 9 pixels a side, not 1, 8, 20"):
        build_body((1, 8, 20), 64, batch_norm=True)


def test_folding_the_batch_normalisation_changes_no_feature(digits: Tensor) -> None:
    body = build_body((1, 28, 28), 64, batch_norm=True)
    for layer in body:
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    body.eval()
    folded = fold_batch_norm(body)
    assert len(folded) < len(body)
    x = scale(digits[:30])
    torch.testing.assert_close(folded(x), body(x), rtol=1e-4, atol=1e-4)

"""The suite on real digits: every score worsens with the damage it is there to see."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from thaw.metrics.encoders import ClassifierEncoder, Encoder
from thaw.metrics.fitting import encode, fit_reference
from thaw.metrics.frechet import frechet_distance, moments
from thaw.metrics.inception_score import InceptionScore
from thaw.metrics.suite import ScoreSuite

SCORES = {"fid", "is_mean", "is_std", "kid", "kid_error", "n"}
SCORES |= {"precision", "recall", "class_kl", "num_classes"}
FLOORS = {
    "fid_floor",
    "is_floor",
    "kid_floor",
    "precision_floor",
    "recall_floor",
    "class_kl_floor",
}


class TinyEncoder(Encoder):
    """Means of the image's quarters as features, a fixed linear map of them as logits."""

    def __init__(self, name: str = "tiny-v1") -> None:
        super().__init__(name, None, None, 16, 4)
        rng = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(16, 4, generator=rng), requires_grad=False)
        self.num_images = 0

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        self.num_images += len(images)
        pooled = torch.nn.functional.adaptive_avg_pool2d(images.float() / 255, 4)
        features = pooled.mean(dim=1).flatten(1)
        return features, features @ self.weight


def scored(suite: ScoreSuite, images: Tensor, batch_size: int = 500) -> dict[str, float]:
    suite.reset()
    for batch in images.split(batch_size):
        suite.update(batch)
    return suite.compute()


def noisy(images: Tensor, sigma: float) -> Tensor:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    return (images + 255 * sigma * noise).clamp(0, 255).round().to(torch.uint8)


def test_gives_every_score_and_its_floor_as_plain_numbers(
    suite: ScoreSuite, digits: Tensor
) -> None:
    scores = scored(suite, digits[:1000])
    assert set(scores) == SCORES | FLOORS
    assert all(isinstance(value, float | int) for value in scores.values())
    assert (scores["n"], scores["num_classes"]) == (1000, 10)


def test_real_digits_score_about_their_floor(suite: ScoreSuite, digits: Tensor) -> None:
    scores = scored(suite, digits[:1000])
    assert 0 < scores["fid"] < 2 * scores["fid_floor"]
    assert abs(scores["kid"]) < 0.05
    assert scores["is_mean"] == pytest.approx(scores["is_floor"], abs=0.2)
    assert scores["precision"] == pytest.approx(scores["precision_floor"], abs=0.05)
    assert scores["recall"] == pytest.approx(scores["recall_floor"], abs=0.05)
    assert suite.class_histogram() == pytest.approx([100] * 10, abs=2)


def test_more_noise_is_worse(suite: ScoreSuite, digits: Tensor) -> None:
    levels = [scored(suite, noisy(digits[:500], sigma)) for sigma in (0, 0.15, 0.3, 0.6, 1.2)]
    for better, worse in pairwise(levels):
        assert worse["fid"] > better["fid"] + 0.1
        assert worse["is_mean"] < better["is_mean"]
    # Where the classifier sees only noise the kernel distance is level: not compared there.
    assert levels[0]["kid"] < levels[1]["kid"] < levels[2]["kid"] < levels[3]["kid"]
    assert levels[-1]["kid"] > 100 * abs(levels[0]["kid"])
    assert levels[-1]["precision"] < 0.5 * levels[0]["precision"]
    assert levels[-1]["fid"] > 20 * levels[-1]["fid_floor"]


def test_fewer_classes_are_worse(suite: ScoreSuite, digits: Tensor) -> None:
    classes = torch.arange(len(digits)) % 10
    levels = [scored(suite, digits[classes < kept][:400]) for kept in (10, 7, 4, 1)]
    assert [level["num_classes"] for level in levels] == pytest.approx([10, 7, 4, 1], abs=1)
    for better, worse in pairwise(levels):
        assert worse["class_kl"] > better["class_kl"] + 0.2
        assert worse["is_mean"] < better["is_mean"] - 1
        assert worse["fid"] > better["fid"]
        assert worse["recall"] < better["recall"]
    # All are real digits: what is missing is not a matter of precision.
    assert levels[-1]["precision"] > 0.8


def test_features_go_to_fid_and_logits_to_the_inception_score(
    suite: ScoreSuite, encoder: ClassifierEncoder, digits: Tensor
) -> None:
    scores = scored(suite, digits[:400])
    features, logits = encode(encoder, digits[:400])
    metric = InceptionScore()
    metric.update(logits)
    assert scores["is_mean"] == pytest.approx(float(metric.compute()["is_mean"]), rel=1e-5)
    assert suite.reference is not None
    fid = frechet_distance(*moments(features), suite.reference.mean, suite.reference.cov)
    assert scores["fid"] == pytest.approx(float(fid), rel=1e-4)


def test_the_global_generator_is_neither_used_nor_disturbed(
    suite: ScoreSuite, digits: Tensor
) -> None:
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        results.append(scored(suite, digits[:300]))
        assert torch.equal(torch.get_rng_state(), before)
    assert results[0] == results[1]


def test_batches_do_not_matter_and_reset_forgets(suite: ScoreSuite, digits: Tensor) -> None:
    first = scored(suite, digits[:200])
    assert scored(suite, digits[:200], 41) == pytest.approx(first, rel=1e-3, abs=1e-5)
    assert scored(suite, digits[:200]) == first
    suite.update(digits[200:300])
    assert suite.compute()["n"] == 300
    assert scored(suite, digits[:200]) == first


def test_few_or_black_images_give_finite_scores(suite: ScoreSuite, digits: Tensor) -> None:
    for num in (2, 5, 30):
        assert torch.tensor(list(scored(suite, digits[:num]).values())).isfinite().all()
    scores = scored(suite, torch.zeros(50, 1, 28, 28, dtype=torch.uint8))
    assert torch.tensor(list(scores.values())).isfinite().all()
    assert scores["is_mean"] == pytest.approx(1)
    assert (scores["num_classes"], scores["recall"]) == (1, 0)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("fashion_mnist", (1, 28, 28)), ("kmnist", (1, 28, 28)), ("mnist", (3, 28, 28))],
)
def test_other_data_is_refused_with_the_ways_out(
    suite: ScoreSuite, name: str, shape: tuple[int, int, int]
) -> None:
    for own in ("mnist", "mnist_5k"):
        suite.check(own, (1, 28, 28))
    with pytest.raises(ValueError, match="mnist-cnn-v1") as caught:
        suite.check(name, shape)
    for way_out in ("metrics=inception", f"train_encoder.py data={name}", "metrics=none"):
        assert way_out in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_reference_of_other_weights_of_the_same_name_is_refused(digits: Tensor) -> None:
    retrained = TinyEncoder()
    retrained.weight.mul_(2)
    reference = fit_reference(retrained, digits[:50], digits[:20], num_draws=1)
    with pytest.raises(ValueError, match=r"tiny-v1 .* cannot serve tiny-v1 "):
        ScoreSuite(TinyEncoder()).use_reference(reference)


def test_a_fitted_reference_is_kept_for_the_same_images_and_weights(
    digits: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    train, test = digits[:300], digits[300:360]
    results, encoded = [], []
    other_weights = TinyEncoder()
    other_weights.weight.mul_(2)
    jobs = [(TinyEncoder(), train), (TinyEncoder(), train), (TinyEncoder(), digits[1:301])]
    for encoder, images in [*jobs, (other_weights, train)]:
        suite = ScoreSuite(encoder)
        suite.fit_reference(images, test)
        encoded.append(encoder.num_images)
        results.append(scored(suite, digits[400:500]))
    assert encoded == [360, 0, 360, 360]
    assert results[0] == results[1]
    assert results[0]["fid"] != results[2]["fid"]
    assert results[0]["is_mean"] != results[3]["is_mean"]
    assert len(list((tmp_path / "thaw").rglob("*.safetensors"))) == 3


def test_a_fitted_reference_holds_moments_counts_and_floors(digits: Tensor) -> None:
    encoder = TinyEncoder()
    train, test = digits[:300], digits[300:390]
    torch.manual_seed(1)
    before = torch.get_rng_state()
    reference = fit_reference(encoder, train, test, num_draws=3)
    assert torch.equal(torch.get_rng_state(), before)
    features, logits = encode(encoder, train)
    assert torch.equal(reference.mean, moments(features)[0])
    assert reference.class_counts.tolist() == logits.argmax(1).bincount(minlength=4).tolist()
    assert reference.num_images == reference.class_counts.sum() == 300
    kept = reference.features.float().sort(dim=0).values
    torch.testing.assert_close(kept, features.sort(dim=0).values, atol=1e-3, rtol=1e-3)
    assert reference.floor_sizes.tolist() == [2, 3, 5, 10, 20, 50, 90]
    suite = ScoreSuite(encoder)
    suite.use_reference(reference)
    scores = scored(suite, test)
    assert scores["fid"] == pytest.approx(scores["fid_floor"], rel=1e-6)
    assert scores["recall"] == pytest.approx(scores["recall_floor"], rel=1e-6)

"""FID against pytorch-fid, closed forms and float64 arithmetic."""

import numpy as np
import pytest
import torch
from metrics_helpers import random_features
from pytorch_fid.fid_score import calculate_frechet_distance
from torch import Tensor

from thaw.metrics.fid import FrechetDistance
from thaw.metrics.frechet import distance_of_few, frechet_distance, moments


def orthogonal(width: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(width, width, generator=rng, dtype=torch.float64))[0]


def gaussian(eigenvalues: Tensor, seed: int, rotation: Tensor) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    mean = torch.randn(len(eigenvalues), generator=rng, dtype=torch.float64)
    return mean, (rotation * eigenvalues) @ rotation.T


def published(*moments_of_both: Tensor) -> float:
    return float(calculate_frechet_distance(*(each.numpy() for each in moments_of_both)))


@pytest.mark.parametrize("smallest", [1e-1, 1e-6, 1e-12])
def test_equals_pytorch_fid_down_to_near_singular_covariances(smallest: float) -> None:
    spectrum = torch.logspace(0, float(np.log10(smallest)), 64, dtype=torch.float64)
    ours = [
        *gaussian(spectrum, 1, orthogonal(64, 1)),
        *gaussian(3 * spectrum, 2, orthogonal(64, 2)),
    ]
    assert float(frechet_distance(*ours)) == pytest.approx(published(*ours), rel=1e-6)


@pytest.mark.parametrize("num", [2000, 30])
def test_equals_pytorch_fid_on_sample_moments_also_with_fewer_images_than_features(
    num: int,
) -> None:
    real, generated = random_features(3000, 64, 1), random_features(num, 64, 2, shift=0.3)
    metric = FrechetDistance(*moments(real))
    metric.update(generated)
    mean, cov = np.mean(generated.double().numpy(), 0), np.cov(generated.double().numpy().T)
    theirs = published(torch.tensor(mean), torch.tensor(cov), *moments(real))
    assert float(metric.compute()) == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("num_zero", [0, 10])
def test_closed_form_of_commuting_gaussians(num_zero: int) -> None:
    rotation = orthogonal(32, 3)
    a = torch.linspace(0.1, 4, 32, dtype=torch.float64)
    b = a.flip(0).clone()
    a[:num_zero] = b[:num_zero] = 0
    first, second = gaussian(a, 1, rotation), gaussian(b, 2, rotation)
    expected = (first[0] - second[0]).square().sum() + (a.sqrt() - b.sqrt()).square().sum()
    assert float(frechet_distance(*first, *second)) == pytest.approx(float(expected), rel=1e-10)


@pytest.mark.parametrize("num", [500, 20])
def test_is_zero_for_identical_sets(num: int) -> None:
    features = random_features(num, 64, 1)
    metric = FrechetDistance(*moments(features))
    metric.update(features)
    assert float(metric.compute()) == pytest.approx(0, abs=1e-9)


def test_moments_keep_float64_precision_on_float32_features_far_from_zero() -> None:
    features = random_features(1000, 16, 1) + 3000
    mean, cov = moments(features)
    exact = features.double().numpy()
    np.testing.assert_allclose(mean.numpy(), exact.mean(0), rtol=1e-12)
    np.testing.assert_allclose(cov.numpy(), np.cov(exact.T), atol=1e-10)


@pytest.mark.parametrize("num", [2, 63, 200])
def test_the_short_way_for_few_images_is_the_same_distance(num: int) -> None:
    features = random_features(num, 64, 3, shift=0.1).double()
    reference = moments(random_features(5000, 64, 4))
    expected = float(frechet_distance(*moments(features), *reference))
    assert float(distance_of_few(features, *reference)) == pytest.approx(expected, rel=1e-7)
    metric = FrechetDistance(*reference)
    metric.update(features)
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-7)


def test_another_reference_has_another_root() -> None:
    features = random_features(9, 16, 3).double()
    for seed in (4, 5, 6, 4):
        reference = moments(random_features(500, 16, seed))
        expected = float(frechet_distance(*moments(features), *reference))
        assert float(distance_of_few(features, *reference)) == pytest.approx(expected, rel=1e-7)

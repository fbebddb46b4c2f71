"""Precision and recall against brute force and torch-fidelity."""

import numpy as np
import pytest
from metrics_helpers import random_features
from torch import Tensor
from torch_fidelity.metric_prc import calculate_precision_recall_full

from thaw.metrics.precision_recall import PrecisionRecall, neighbour_radii


def ours(generated: Tensor, real: Tensor, batch_size: int = 10_000) -> tuple[float, float]:
    metric = PrecisionRecall(real.double(), neighbour_radii(real.double()))
    for batch in generated.split(batch_size):
        metric.update(batch)
    values = metric.compute()
    return float(values["precision"]), float(values["recall"])


def brute_force(generated: Tensor, real: Tensor, k: int = 3) -> tuple[float, float]:
    x, y = generated.double().numpy(), real.double().numpy()

    def inside(points: np.ndarray, centres: np.ndarray) -> float:
        hits = 0
        radii = [np.sort(np.linalg.norm(centres - c, axis=1))[k] for c in centres]
        for point in points:
            distances = np.linalg.norm(centres - point, axis=1)
            hits += any(d <= r for d, r in zip(distances, radii, strict=True))
        return hits / len(points)

    return inside(x, y), inside(y, x)


@pytest.mark.parametrize(("num", "shift"), [(60, 0.0), (60, 0.5), (150, 0.2), (4, 0.0)])
def test_equals_brute_force(num: int, shift: float) -> None:
    generated, real = random_features(num, 8, 1, shift), random_features(100, 8, 2)
    expected = brute_force(generated, real)
    assert ours(generated, real) == pytest.approx(expected, abs=1e-12)
    assert 0 < min(expected) < 1


def test_equals_torch_fidelity_on_more_rows_than_a_block() -> None:
    generated, real = random_features(2300, 8, 1, 0.2), random_features(1700, 8, 2)
    theirs = calculate_precision_recall_full(generated.double(), real.double(), 3)
    assert ours(generated, real, batch_size=77) == pytest.approx(theirs, abs=1e-6)


def test_identical_sets_give_one_and_distant_sets_nothing() -> None:
    features = random_features(300, 8, 1)
    assert ours(features, features) == (1.0, 1.0)
    assert ours(features + 100, features) == (0.0, 0.0)


@pytest.mark.parametrize("num", [2, 3])
def test_fewer_images_than_neighbours_give_numbers_in_range(num: int) -> None:
    for value in ours(random_features(num, 8, 1), random_features(100, 8, 2)):
        assert 0 <= value <= 1

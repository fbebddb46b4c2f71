"""KID against torch-fidelity and NumPy."""

import numpy as np
import pytest
import torch
from metrics_helpers import random_features
from torch_fidelity.metric_kid import kernel_mmd

from thaw.metrics.kid import KernelDistance, within_mean

POLYNOMIAL = {
    "kid_kernel": "poly",
    "kid_kernel_poly_degree": 3,
    "kid_kernel_poly_gamma": None,
    "kid_kernel_poly_coef0": 1.0,
}


def kid(generated: torch.Tensor, reference: torch.Tensor) -> float:
    metric = KernelDistance(reference.double(), within_mean(reference.double()))
    metric.update(generated)
    return float(metric.compute()["kid"])


@pytest.mark.parametrize("num", [2, 70, 1700])
def test_equals_torch_fidelity_on_as_many_of_each(num: int) -> None:
    generated, real = random_features(num, 24, 1, shift=0.2), random_features(num, 24, 2)
    theirs = kernel_mmd(generated.double().numpy(), real.double().numpy(), **POLYNOMIAL)
    assert kid(generated, real) == pytest.approx(float(theirs), rel=1e-9, abs=1e-12)


def test_equals_numpy_on_sets_of_different_sizes() -> None:
    generated, real = random_features(90, 24, 1, shift=0.2), random_features(250, 24, 2)
    x, y = generated.double().numpy(), real.double().numpy()
    k_xx, k_yy, k_xy = ((a @ b.T / 24 + 1) ** 3 for a, b in [(x, x), (y, y), (x, y)])
    within = [k[~np.eye(len(k), dtype=bool)].mean() for k in (k_xx, k_yy)]
    assert kid(generated, real) == pytest.approx(sum(within) - 2 * k_xy.mean(), rel=1e-9)


def test_error_is_the_jackknife_s() -> None:
    generated, real = random_features(40, 24, 1, shift=0.2), random_features(100, 24, 2)
    metric = KernelDistance(real.double(), within_mean(real.double()))
    metric.update(generated)
    left_out = [kid(torch.cat([generated[:k], generated[k + 1 :]]), real) for k in range(40)]
    by_hand = (39 / 40 * np.square(left_out - np.mean(left_out)).sum()) ** 0.5
    assert float(metric.compute()["kid_error"]) == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize(("shift", "largest"), [(0.3, 1.2), (0.0, 1.7)])
def test_error_is_the_spread_over_draws(shift: float, largest: float) -> None:
    real = random_features(2000, 24, 0).double()
    metric = KernelDistance(real, within_mean(real))
    found = []
    for sample in random_features(12_000, 24, 3, shift=shift).split(60):
        metric.reset()
        metric.update(sample)
        found.append({name: float(value) for name, value in metric.compute().items()})
    spread = np.std([each["kid"] for each in found], ddof=1)
    error = np.mean([each["kid_error"] ** 2 for each in found]) ** 0.5
    assert 0.9 < error / spread < largest


def test_is_unbiased_for_small_samples_of_one_distribution() -> None:
    real = random_features(300, 24, 0).double()
    metric = KernelDistance(real, within_mean(real))
    values = []
    for sample in random_features(1500, 24, 3).split(10):
        metric.reset()
        metric.update(sample)
        values.append(float(metric.compute()["kid"]))
    spread = float(np.std(values))
    assert abs(np.mean(values)) < 4 * spread / len(values) ** 0.5 < spread / 3

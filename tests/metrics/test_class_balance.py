"""Class balance against closed forms and SciPy."""

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from thaw.metrics.class_balance import ClassBalance, class_kl


def balance(classes: list[int], data_counts: torch.Tensor) -> dict[str, torch.Tensor]:
    metric = ClassBalance(data_counts)
    for batch in torch.tensor(classes).split(7):
        metric.update(torch.nn.functional.one_hot(batch, len(data_counts)).float())
    return metric.compute()


def test_one_class_of_ten_even_ones_is_log_ten() -> None:
    values = balance([4] * 50, torch.full((10,), 600))
    assert float(values["class_kl"]) == pytest.approx(np.log(10), rel=1e-12)
    assert int(values["num_classes"]) == 1
    assert values["class_counts"].tolist() == [0, 0, 0, 0, 50, 0, 0, 0, 0, 0]


def test_equals_scipy() -> None:
    data_counts = torch.tensor([10, 20, 30, 40])
    values = balance([0, 0, 1, 3, 3, 3, 3, 3], data_counts)
    assert float(values["class_kl"]) == pytest.approx(entropy([2, 1, 0, 5], [10, 20, 30, 40]))
    assert int(values["num_classes"]) == 3


def test_a_class_that_the_data_never_shows_stays_finite() -> None:
    value = class_kl(torch.tensor([5, 5]), torch.tensor([1000, 0]))
    p_0, p_1 = 1000 / 1000.5, 0.5 / 1000.5
    assert float(value) == pytest.approx(0.5 * np.log(0.5 / p_0) + 0.5 * np.log(0.5 / p_1))


def test_bias_is_that_of_the_plug_in_estimate() -> None:
    rng = torch.Generator().manual_seed(0)
    data_counts = torch.full((10,), 6000)
    draws = torch.randint(10, (2000, 200), generator=rng)
    values = [float(class_kl(draw.bincount(minlength=10), data_counts)) for draw in draws]
    assert np.mean(values) == pytest.approx(9 / 400, rel=0.1)

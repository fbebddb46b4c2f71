"""The inception score against torch-fidelity, closed forms and the traps that others have met."""

import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_isc import isc_features_to_metric

from thaw.metrics.inception_score import InceptionScore
from thaw.seeding import generator


def some_logits(num: int, seed: int = 0) -> Tensor:
    return 3 * torch.randn(num, 10, generator=torch.Generator().manual_seed(seed))


def saturated(classes: Tensor) -> Tensor:
    return 1e4 * torch.nn.functional.one_hot(classes, 10).float()


def score(logits: Tensor, splits: int) -> tuple[float, float]:
    metric = InceptionScore(splits=splits)
    metric.update(logits)
    values = metric.compute()
    return float(values["is_mean"]), float(values["is_std"])


@pytest.mark.parametrize("num", [7, 1000])
def test_one_part_equals_torch_fidelity(num: int) -> None:
    theirs = isc_features_to_metric(some_logits(num), splits=1, shuffle=False)
    mean, std = score(some_logits(num), splits=1)
    assert mean == pytest.approx(theirs["inception_score_mean"], rel=1e-12)
    assert std == 0


def test_ten_parts_equal_torch_fidelity_on_the_same_parts() -> None:
    logits = some_logits(1000)
    order = torch.randperm(1000, generator=generator(0, "inception_score"))
    theirs = isc_features_to_metric(logits[order], splits=10, shuffle=False)
    mean, std = score(logits, splits=10)
    assert mean == pytest.approx(theirs["inception_score_mean"], rel=1e-12)
    assert std == pytest.approx(theirs["inception_score_std"], rel=1e-9)


def test_a_saturated_classifier_of_balanced_classes_scores_ten() -> None:
    mean, std = score(saturated(torch.arange(1000) % 10), splits=1)
    assert mean == pytest.approx(10, rel=1e-12)
    assert std == 0


def test_one_class_only_scores_one_and_so_does_a_classifier_that_cannot_tell() -> None:
    assert score(saturated(torch.full((100,), 3)), splits=10)[0] == pytest.approx(1, rel=1e-12)
    assert score(torch.zeros(100, 10), splits=10)[0] == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("classes", [torch.arange(1000) % 10, torch.arange(1000) // 100])
def test_parts_follow_neither_sorted_classes_nor_classes_that_take_turns(classes: Tensor) -> None:
    mean, std = score(saturated(classes), splits=10)
    # A part of 100 balanced draws has 10 exp(-9 / 200), or about 9.6; one class a part would be 1.
    assert 9.3 < mean < 9.9
    assert 0 < std < 0.3

"""Restoration scores against scikit-image and closed forms."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from thaw.metrics.restored import RestorationScores
from thaw.metrics.suite import ScoreSuite
from thaw.pixels import PixelRange


def scores(x_hat: Tensor, x_0: Tensor, low: float, high: float, size: int = 99) -> dict[str, float]:
    restoration = RestorationScores((low, high))
    for batch_hat, batch_0 in zip(x_hat.split(size), x_0.split(size), strict=True):
        restoration.update(batch_hat, batch_0)
    return restoration.compute()


def pair(digits: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    x_0 = digits[:12].float() / 255 * (high - low) + low
    noise = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(0))
    return x_0 + 0.1 * (high - low) * noise, x_0


@pytest.mark.parametrize(("low", "high"), [(-0.5, 0.5), (0.0, 255.0)])
def test_equals_scikit_image_in_any_range(digits: Tensor, low: float, high: float) -> None:
    x_hat, x_0 = pair(digits, low, high)
    ours = scores(x_hat, x_0, low, high)
    a, b = x_hat.double().numpy(), x_0.double().numpy()
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    ssim = [
        structural_similarity(hat[0] - low, clean[0] - low, data_range=high - low, **window)
        for hat, clean in zip(a, b, strict=True)
    ]
    assert ours["ssim"] == pytest.approx(np.mean(ssim), abs=1e-4)
    assert ours["psnr"] == pytest.approx(
        peak_signal_noise_ratio(b, a, data_range=high - low), abs=1e-3
    )
    assert ours["rmse"] == pytest.approx(np.sqrt(np.mean((a - b) ** 2)), rel=1e-5)


def test_closed_form_of_a_constant_offset(digits: Tensor) -> None:
    x_0 = digits[:5].float() / 255 - 0.5
    ours = scores(x_0 + 0.01, x_0, -0.5, 0.5)
    assert ours["rmse"] == pytest.approx(0.01, rel=1e-4)
    assert ours["psnr"] == pytest.approx(40, abs=1e-3)
    exact = scores(x_0, x_0, -0.5, 0.5)
    # No error where there is no spread, or no number that could have one.
    assert exact.pop("ssim_error", 0) == pytest.approx(0, abs=1e-3)
    assert exact == {"psnr": math.inf, "ssim": pytest.approx(1, abs=1e-6), "rmse": 0}


def test_errors_are_the_spread_over_many_sets_of_images(digits: Tensor) -> None:
    """Digits with noise of a strength of their own, so that images differ by much."""
    generator = torch.Generator().manual_seed(1)
    x_0 = digits[:1000].float() / 255
    strength = torch.rand(len(x_0), 1, 1, 1, generator=generator)
    x_hat = x_0 + 0.2 * strength * torch.randn(x_0.shape, generator=generator)
    sets = [scores(a, b, 0.0, 1.0) for a, b in zip(x_hat.split(50), x_0.split(50), strict=True)]
    for name in ("psnr", "rmse", "ssim"):
        spread = np.std([each[name] for each in sets], ddof=1)
        assert np.mean([each[f"{name}_error"] for each in sets]) == pytest.approx(spread, rel=0.4)
    (alone,) = [scores(x_hat[:1], x_0[:1], 0.0, 1.0)]
    assert not {"psnr_error", "rmse_error", "ssim_error"} & set(alone)


def test_fid_is_the_suites_own_of_the_images_as_they_are_written(
    digits: Tensor, suite: ScoreSuite
) -> None:
    x_hat, x_0 = pair(digits, -0.5, 0.5)
    restoration = RestorationScores((-0.5, 0.5), suite)
    for batch_hat, batch_0 in zip(x_hat.split(5), x_0.split(5), strict=True):
        restoration.update(batch_hat, batch_0)
    ours = restoration.compute()
    suite.reset()
    suite.update(PixelRange(-0.5, 0.5).to_uint8(x_hat))
    assert ours["fid"] == pytest.approx(suite.compute()["fid"], rel=1e-6)
    without = scores(x_hat, x_0, -0.5, 0.5)
    assert {name: ours[name] for name in without} == pytest.approx(without, rel=1e-4)

"""Priors fitted to what a degradation leaves: the law of the draws, state, refusals."""

import io

import numpy as np
import pytest
import torch
from scipy.stats import gaussian_kde
from sklearn import mixture
from theory_support import RANGE, columns_of, of_columns, seeded
from threadpoolctl import threadpool_info, threadpool_limits
from torch import Generator, Tensor

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.priors.density import Density
from thaw.diffusion.priors.gaussian_mixture import GaussianMixture
from thaw.diffusion.priors.kernel_density import KernelDensity
from thaw.diffusion.schedules import alpha_bar_of, linear
from thaw.pixels import PixelRange

SHAPE = (1, 3, 4)
COLUMNS = LineAverage(SHAPE, "column", "random")
KINDS = ("gaussian", "gmm", "kde")


def prior_of(kind: str, shape: tuple[int, ...] = SHAPE) -> Density:
    if kind == "kde":
        return KernelDensity(shape, RANGE)
    return GaussianMixture(shape, RANGE, components=1 if kind == "gaussian" else 3)


@pytest.fixture
def correlated() -> Tensor:
    """2,000 images whose column means are correlated, of unlike spread, and skewed."""
    draws = torch.rand(2000, 4, generator=seeded(0)) ** 2
    mixing = torch.tensor([[0.5, 0, 0, 0], [0.2, 0.3, 0, 0], [0, 0.1, 0.05, 0], [0, 0, 0, 0.02]])
    return of_columns(draws @ mixing.T - 0.2)


def drawn(prior: Density, num_samples: int, seed: int = 1) -> Tensor:
    return columns_of(prior.draw(num_samples, COLUMNS, seeded(seed))[0])


def assert_moments(x: Tensor, mean: Tensor, covariance: Tensor) -> None:
    """Mean and covariance within five of a Gaussian's standard errors."""
    variance = covariance.diagonal()
    assert ((x.mean(0) - mean).abs() < 5 * (variance / len(x)).sqrt()).all()
    errors = ((variance[:, None] * variance + covariance**2) / len(x)).sqrt()
    assert ((x.T.cov() - covariance).abs() < 5 * errors).all()


def test_one_gaussian_has_the_mean_and_covariance_of_the_data(correlated: Tensor) -> None:
    prior = prior_of("gaussian")
    prior.fit(correlated, COLUMNS)
    data = columns_of(RANGE.from_uint8(correlated))
    x = drawn(prior, 40_000)
    assert_moments(x, data.mean(0), data.T.cov())
    # Gaussian, which the data are not: no third moment.
    skewness = ((x - x.mean(0)) ** 3).mean(0) / x.std(0) ** 3
    assert (skewness.abs() < 5 * (6 / len(x)) ** 0.5).all()
    assert (((data - data.mean(0)) ** 3).mean(0) / data.std(0) ** 3).max() > 0.5


def test_a_mixture_finds_the_two_gaussians_that_the_data_are_of() -> None:
    is_first = torch.rand(4000, 1, generator=seeded(1)) < 0.3
    eps = torch.randn(4000, 4, generator=seeded(2))
    spread = torch.where(is_first, torch.tensor([0.02, 0.05, 0.02, 0.03]), torch.tensor(0.04))
    centre = torch.where(is_first, torch.tensor([-0.3, 0.1, 0.2, 0.0]), torch.tensor(0.2))
    data = centre + spread * eps
    data[:, 1] += 2 * (data[:, 0] - centre[:, 0])  # correlated within each
    images = of_columns(data)
    prior = GaussianMixture(SHAPE, RANGE, components=2)
    prior.fit(images, COLUMNS)
    weight = is_first.double().mean()
    torch.testing.assert_close(
        prior.weights[0].double().sort().values[0], weight, rtol=0, atol=1e-4
    )
    x = drawn(prior, 40_000)
    kept = columns_of(RANGE.from_uint8(images))
    assert (x[:, 0] < -0.1).double().mean().sub(weight).abs() < 5 * (0.21 / len(x)) ** 0.5
    for side in (True, False):
        of_data, of_draws = kept[is_first[:, 0] == side], x[(x[:, 0] < -0.05) == side]
        assert_moments(of_draws, of_data.mean(0), of_data.T.cov())


@pytest.mark.parametrize("bandwidth", [0.5, None])
def test_a_kernel_density_inflates_the_covariance_by_its_bandwidth(
    correlated: Tensor, bandwidth: float | None
) -> None:
    prior = KernelDensity(SHAPE, RANGE, bandwidth)
    prior.fit(correlated, COLUMNS)
    data = columns_of(RANGE.from_uint8(correlated))
    kernel = torch.from_numpy(gaussian_kde(data.T.numpy(), bandwidth).covariance)
    assert_moments(drawn(prior, 40_000), data.mean(0), data.T.cov() + kernel)
    if bandwidth is not None:
        torch.testing.assert_close(kernel, bandwidth**2 * data.T.cov())


def test_a_kernel_density_without_width_repeats_the_images_own_remainders() -> None:
    images = torch.randint(0, 256, (20, *SHAPE), generator=seeded(0), dtype=torch.uint8)
    prior = KernelDensity(SHAPE, RANGE, bandwidth=0)
    prior.fit(images, COLUMNS)
    own = columns_of(COLUMNS.remainder(RANGE.from_uint8(images)))
    distances = torch.cdist(drawn(prior, 300), own)
    assert distances.min(1).values.max() < 1e-6
    assert set(distances.argmin(1).tolist()) == set(range(20))


@pytest.mark.parametrize("kind", KINDS)
def test_only_directions_that_vary_are_kept_and_no_more_than_max_dims(kind: str) -> None:
    shape = (2, 6, 4)
    degradation = LineAverage(shape, "column", "random")
    images = torch.randint(0, 256, (40, *shape), generator=seeded(0), dtype=torch.uint8)
    images[:, 1, :, 3] = 7  # two channels of four columns, one of which never changes
    for max_dims, expected in ((64, 7), (3, 3)):
        prior = prior_of(kind, shape)
        prior.max_dims = max_dims
        prior.fit(images, degradation)
        assert len(prior.directions) == expected
        products = prior.directions @ prior.directions.T
        torch.testing.assert_close(products, torch.eye(expected), rtol=0, atol=1e-5)
        x_T, _ = prior.draw(50, degradation, seeded(1))
        torch.testing.assert_close(
            x_T[:, 1, :, 3], torch.full((50, 6), 7 / 255 - 0.5), rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("kind", KINDS)
def test_two_images_are_enough(kind: str) -> None:
    images = torch.randint(0, 256, (2, *SHAPE), generator=seeded(0), dtype=torch.uint8)
    prior = GaussianMixture(SHAPE, RANGE) if kind == "gmm" else prior_of(kind)
    prior.fit(images, COLUMNS)
    assert drawn(prior, 30).isfinite().all()
    if kind == "gmm":  # never more components than images: one around each
        own = columns_of(COLUMNS.remainder(RANGE.from_uint8(images)))
        assert torch.cdist(drawn(prior, 30), own).min(1).values.max() < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_images_that_leave_the_same_are_drawn_as_that(kind: str) -> None:
    image = torch.randint(0, 256, (1, *SHAPE), generator=seeded(0), dtype=torch.uint8)
    prior = prior_of(kind)
    prior.fit(image.expand(5, -1, -1, -1), COLUMNS)
    own = columns_of(COLUMNS.remainder(RANGE.from_uint8(image)))
    torch.testing.assert_close(drawn(prior, 9), own.expand(9, -1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_travels_into_a_fresh_object_strictly(kind: str, correlated: Tensor) -> None:
    prior, fresh = prior_of(kind), prior_of(kind)
    prior.fit(correlated, COLUMNS)
    file = io.BytesIO()
    torch.save(prior.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True), strict=True)
    assert torch.equal(drawn(fresh, 50), drawn(prior, 50))
    assert fresh.centre.dtype == torch.float32
    with pytest.raises(RuntimeError, match="Missing key"):
        prior_of(kind).load_state_dict({"centre": torch.zeros(12)}, strict=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_draw_is_its_generators_in_float32(kind: str, correlated: Tensor) -> None:
    prior = prior_of(kind)
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    kept = correlated.clone()
    prior.fit(correlated, COLUMNS)
    first, again, other = (prior.draw(9, COLUMNS, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(correlated, kept)
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    assert (first[0].shape, first[0].dtype) == ((9, *SHAPE), torch.float32)
    assert first[1].shape == (9, 0)
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(prior.draw(9, COLUMNS, seeded(1))[0], first[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_double_precision_draws_the_same(kind: str, correlated: Tensor) -> None:
    prior = prior_of(kind)
    prior.fit(correlated, COLUMNS)
    single = prior.draw(9, COLUMNS, seeded(1))[0]
    model = torch.nn.ModuleList([prior]).double()
    assert torch.equal(prior.draw(9, COLUMNS, seeded(1))[0], single)
    assert {buffer.device.type for buffer in model.to("meta").buffers()} == {"meta"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_is_its_seeds(kind: str, correlated: Tensor) -> None:
    def fitted(seed: int) -> Tensor:
        prior = prior_of(kind)
        prior.seed, prior.num_images = seed, 100
        prior.fit(correlated, COLUMNS)
        return drawn(prior, 20)

    assert torch.equal(fitted(1), fitted(1))
    assert not torch.equal(fitted(1), fitted(2))


@pytest.mark.parametrize("kind", KINDS)
def test_under_noise_that_ends_early_the_draws_have_the_mean_and_covariance_of_x_T(  # noqa: N802
    kind: str, correlated: Tensor
) -> None:
    """N(sqrt(ab_T) mean, ab_T Cov + (1 - ab_T) I) of the data, each with its own noise."""
    degradation = Gaussian(linear(100))
    ab = alpha_bar_of(degradation.schedule)[-1].item()
    assert ab == pytest.approx(0.3636, abs=1e-4)
    prior = prior_of(kind)
    prior.fit(correlated, degradation)
    data = RANGE.from_uint8(correlated).flatten(1).double()
    wider = 1.04 if kind == "kde" else 1.0  # 1 + bandwidth^2
    covariance = ab * wider * data.T.cov() + (1 - ab) * torch.eye(12, dtype=torch.float64)
    x_T, noise = prior.draw(40_000, degradation, seeded(1))
    assert_moments(x_T.flatten(1).double(), ab**0.5 * data.mean(0), covariance)
    # x_T = D(x_0, T, noise) of images as smooth as the data: equal in each row.
    x_0 = (x_T - (1 - ab) ** 0.5 * noise) / ab**0.5
    columns_of((x_0 * 0.1).float())
    assert noise.std() == pytest.approx(1, abs=0.01)


class Blotch(Degradation):
    """An image in a noise of its own, as no density over x_T describes."""

    num_steps = 1

    def draw_noise(self, x_0: Tensor, generator: Generator | None = None) -> Tensor:
        return torch.rand(len(x_0), 1, 1, 1, generator=generator)

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return x_0 * noise


@pytest.mark.parametrize("kind", KINDS)
def test_what_leaves_no_remainder_is_refused(kind: str) -> None:
    prior = prior_of(kind)
    prior.check(COLUMNS)
    with pytest.raises(ValueError, match="at the end of Gaussian there is only noise"):
        prior.check(Gaussian(linear(1000)))
    prior.check(Gaussian(linear(100)))
    with pytest.raises(ValueError, match="Blotch "):
        prior.check(Blotch())


def test_a_mixture_is_fitted_by_one_thread_which_no_other_makes_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []
    fit = mixture.GaussianMixture.fit

    def watched(self: mixture.GaussianMixture, z: np.ndarray) -> mixture.GaussianMixture:
        seen.extend(library["num_threads"] for library in threadpool_info())
        return fit(self, z)

    monkeypatch.setattr(mixture.GaussianMixture, "fit", watched)
    prior = GaussianMixture((1, 4, 4), PixelRange(0, 1), components=2)
    with threadpool_limits(2):
        before = [library["num_threads"] for library in threadpool_info()]
        prior.fit_coordinates(np.random.default_rng(0).normal(size=(50, 3)), None)
        after = [library["num_threads"] for library in threadpool_info()]
    assert set(seen) == {1}
    assert before == after

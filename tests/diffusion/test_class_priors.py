"""Priors of class-conditional models: x_T of the class that is asked for, as in training."""

import io
from collections.abc import Callable

import pytest
import torch
from theory_support import RANGE, columns_of, of_columns, seeded
from torch import Tensor, nn

from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.generation import generate
from thaw.diffusion.predictions import Clean
from thaw.diffusion.priors.base import Prior
from thaw.diffusion.priors.empirical import Empirical
from thaw.diffusion.priors.gaussian_mixture import GaussianMixture
from thaw.diffusion.priors.kernel_density import KernelDensity
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.cold import Cold

SHAPE = (1, 3, 4)
COLUMNS = LineAverage(SHAPE, "column", "random")
KINDS: dict[str, Callable[[], Prior]] = {
    "empirical": lambda: Empirical(SHAPE, RANGE, num_images=3000),
    "gaussian": lambda: GaussianMixture(SHAPE, RANGE, components=1),
    "gmm": lambda: GaussianMixture(SHAPE, RANGE, components=3),
    "kde": lambda: KernelDensity(SHAPE, RANGE, bandwidth=0.5),
}
H = 0.5


@pytest.fixture(scope="module")
def classes() -> tuple[Tensor, Tensor]:
    """3,000 images, of three classes of unlike size, centre and correlation, and their labels."""
    labels = torch.arange(3000) % 6 // 3 + (torch.arange(3000) % 6 == 5)  # 0 0 0 1 1 2
    draws = 0.06 * torch.randn(3000, 4, generator=seeded(0))
    first = draws[:, :1] * torch.tensor([[1.0], [-1.0], [0.0]])[labels]
    draws[:, 1] += first[:, 0]
    centre = torch.tensor([[-0.2, 0.1, 0.0, 0.1], [0.2, -0.1, 0.0, 0.1], [0.0, 0.0, 0.2, -0.2]])
    return of_columns(centre[labels] + draws), labels


@pytest.fixture(scope="module", params=list(KINDS))
def fitted(request: pytest.FixtureRequest, classes: tuple[Tensor, Tensor]) -> tuple[str, Prior]:
    images, labels = classes
    prior = KINDS[request.param]()
    prior.fit(images, COLUMNS, labels)
    return request.param, prior


def test_each_class_has_the_mean_and_covariance_of_its_own_images(
    fitted: tuple[str, Prior], classes: tuple[Tensor, Tensor]
) -> None:
    (kind, prior), (images, labels) = fitted, classes
    asked = torch.arange(30_000) % 3
    x = columns_of(prior.draw(len(asked), COLUMNS, seeded(1), asked)[0])
    for y in range(3):
        data, drawn = columns_of(RANGE.from_uint8(images[labels == y])), x[asked == y]
        covariance = data.T.cov() * (1 + H**2 if kind == "kde" else 1)
        variance = covariance.diagonal()
        # Five of a Gaussian's standard errors.
        assert ((drawn.mean(0) - data.mean(0)).abs() < 5 * (variance / 10_000).sqrt()).all()
        errors = ((variance[:, None] * variance + covariance**2) / 10_000).sqrt()
        assert ((drawn.T.cov() - covariance).abs() < 5 * errors).all()


def test_without_labels_the_classes_have_their_shares(fitted: tuple[str, Prior]) -> None:
    x = columns_of(fitted[1].draw(20_000, COLUMNS, seeded(1))[0])
    # Between the centres of classes 0 and 1, three and two sixths of the images, column 0 tells.
    assert (x[:, 2] > 0.12).double().mean().item() == pytest.approx(1 / 6, abs=0.04)
    assert (x[:, 0] < -0.1).double().mean().item() == pytest.approx(1 / 2, abs=0.05)


def test_an_image_s_start_depends_on_its_own_label_alone(fitted: tuple[str, Prior]) -> None:
    prior, labels = fitted[1], torch.tensor([2, 0, 1, 1, 0])
    generators = [seeded(3), seeded(3)]
    one, _ = prior.draw(5, COLUMNS, generators[0], labels)
    other, _ = prior.draw(5, COLUMNS, generators[1], torch.tensor([2, 1, 1, 2, 0]))
    same = torch.tensor([True, False, True, False, True])
    torch.testing.assert_close(one[same], other[same], rtol=0, atol=1e-6)
    assert (one - other).abs().amax((1, 2, 3))[~same].min() > 1e-3
    # And whatever is drawn next, as a sampler's noise, on none.
    assert torch.equal(generators[0].get_state(), generators[1].get_state())


def test_the_labels_travel_and_an_unconditional_prior_has_none(
    fitted: tuple[str, Prior], classes: tuple[Tensor, Tensor]
) -> None:
    kind, prior = fitted
    file = io.BytesIO()
    torch.save(prior.state_dict(), file)
    file.seek(0)
    fresh, plain = KINDS[kind](), KINDS[kind]()
    fresh.load_state_dict(torch.load(file, weights_only=True), strict=True)
    labels = torch.tensor([2, 0, 1])
    drawn = [each.draw(3, COLUMNS, seeded(1), labels)[0] for each in (prior, fresh)]
    assert torch.equal(*drawn)
    assert prior.describe().endswith(", by class")
    plain.fit(classes[0], COLUMNS)
    assert not plain.describe().endswith(", by class")
    with pytest.raises(ValueError, match="was fitted to no image of class 0"):
        plain.draw(3, COLUMNS, seeded(1), labels)


@pytest.mark.parametrize("kind", KINDS)
def test_classes_of_few_images_one_or_none(kind: str) -> None:
    """Class 0 has five images, class 1 one, class 2 none, class 3 two that are the same."""
    labels = torch.tensor([0, 0, 0, 0, 0, 1, 3, 3])
    images = of_columns(torch.rand(8, 4, generator=seeded(0)) - 0.5)
    images[7] = images[6]
    prior = KINDS[kind]()
    prior.fit(images, COLUMNS, labels)
    x_T, _ = prior.draw(60, COLUMNS, seeded(1), torch.tensor([0, 1, 3]).repeat(20))
    assert x_T.isfinite().all()
    for y, number in ((1, 5), (2, 6)):
        own = RANGE.from_uint8(images[number]).expand(20, *SHAPE)
        torch.testing.assert_close(x_T[y::3], own, rtol=0, atol=0.01)
    with pytest.raises(ValueError, match="fitted to no image of class 2"):
        prior.draw(2, COLUMNS, seeded(1), torch.tensor([0, 2]))
    with pytest.raises(ValueError, match="fitted to no image of class 4"):
        prior.draw(2, COLUMNS, seeded(1), torch.tensor([0, 4]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_rare_class_is_among_few_images_and_fewer_than_classes_are_refused(kind: str) -> None:
    labels = torch.zeros(500, dtype=torch.int64)
    labels[[123, 456]] = torch.tensor([1, 2])
    images = torch.randint(0, 256, (500, *SHAPE), generator=seeded(0), dtype=torch.uint8)

    def of(num_images: int) -> Prior:
        prior = KINDS[kind]()
        if isinstance(prior, Empirical):
            return Empirical(SHAPE, RANGE, num_images)
        prior.num_images = num_images  # type: ignore[assignment]
        return prior

    prior = of(5)
    prior.fit(images, COLUMNS, labels)
    assert sorted(prior.labels.tolist()) == [0, 0, 0, 1, 2]
    with pytest.raises(ValueError, match="^num_images=2 is less than the 3 classes"):
        of(2).fit(images, COLUMNS, labels)


class Told(nn.Module):
    """A class-conditional network that leaves x_t as it is."""

    num_classes, label_dropout = 3, 0.1

    def __init__(self) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(()))

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        return x_t + self.anchor


@pytest.fixture
def model() -> tuple[Restorer, Prior]:
    """Flat images, one a class, which averaging and the network leave as they are."""
    prior = Empirical(SHAPE, RANGE, num_images=30)
    values = torch.tensor([10, 120, 250], dtype=torch.uint8)
    prior.fit(values.view(3, 1, 1, 1).expand(3, *SHAPE), COLUMNS, torch.arange(3))
    return Restorer(Told(), COLUMNS, Clean(), RANGE), prior


def test_generated_images_start_from_their_own_class(model: tuple[Restorer, Prior]) -> None:
    restorer, prior = model
    labels = torch.tensor([2, 0, 1, 1, 0, 2, 2])
    batches = generate(restorer, Cold(), prior, 7, 3, seed=1, labels=labels)
    images = RANGE.to_uint8(torch.cat([*batches]))
    expected = torch.tensor([10, 120, 250])[labels].view(7, 1, 1, 1).expand(7, *SHAPE)
    assert torch.equal(images.long(), expected)
    # And drawn with the labels that are drawn where none are given.
    restorer.fit_labels(torch.tensor([1]))
    (drawn,) = generate(restorer, Cold(), prior, 5, 5, seed=1)
    assert RANGE.to_uint8(drawn).unique().tolist() == [120]

"""Class labels from training to sampling: hidden, drawn, passed on, and followed."""

import math
from collections.abc import Callable

import pytest
import torch
from theory_support import exact_gaussian, restorer_of
from torch import Generator, Tensor, nn

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.generation import draw_labels, generate
from thaw.diffusion.guidance import check_guidance, guided, hide_labels
from thaw.diffusion.objectives import MSE
from thaw.diffusion.predictions import Clean, Noise, Prediction
from thaw.diffusion.priors.normal import Normal
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Sampler
from thaw.diffusion.samplers.gaussian import DDIM, Ancestral
from thaw.diffusion.samplers.solvers import DPMSolver, Heun
from thaw.diffusion.schedules import alpha_bar_of, cosine, linear
from thaw.pixels import PixelRange

SHAPE = (1, 4, 4)
Function = Callable[[Tensor, Tensor, Tensor], Tensor]


class Conditional(nn.Module):
    """A class-conditional network that is a function; it notes what it was called with."""

    def __init__(self, function: Function, num_classes: int = 3, label_dropout: float = 0.1):
        super().__init__()
        self.function = function
        self.num_classes = num_classes
        self.label_dropout = label_dropout
        self.anchor = nn.Parameter(torch.zeros(()))
        self.calls: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        self.calls.append((x_t, t, labels))
        return self.function(x_t, t, labels)


def tangle(x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
    """Something that depends on all three, and not linearly."""
    return (x_t * (labels + 2).view(-1, 1, 1, 1) + t.view(-1, 1, 1, 1)).sin()


def conditional(
    function: Function = tangle,
    degradation: Degradation | None = None,
    prediction: Prediction | None = None,
    **options: float,
) -> Restorer:
    return Restorer(
        Conditional(function, **options),  # type: ignore[arg-type]
        degradation or Gaussian(linear(20)),
        prediction or Noise(),
        PixelRange(-0.5, 0.5),
    )


def batch() -> tuple[Tensor, Tensor, Tensor]:
    draws = Generator().manual_seed(0)
    x_t = torch.randn(5, *SHAPE, generator=draws, dtype=torch.float64)
    return x_t, torch.tensor([1, 5, 9, 20, 2]), torch.tensor([0, 1, 2, 1, 0])


@pytest.mark.parametrize(
    ("degradation", "prediction"),
    [(Gaussian(linear(20)), Noise()), (LineAverage(SHAPE, "column", "random"), Clean())],
    ids=["noise", "clean"],
)
@pytest.mark.parametrize("w", [-1.0, -0.5, 0.0, 1.0, 6.5])
def test_guidance_is_ho_and_salimans_equation_6_at_scale_1_plus_w(
    w: float, degradation: Degradation, prediction: Prediction
) -> None:
    restorer = conditional(degradation=degradation, prediction=prediction)
    x_t, t, labels = batch()
    t = t.clamp(max=degradation.num_steps)
    with_label, without = tangle(x_t, t, labels), tangle(x_t, t, torch.full((5,), -1))
    output = (1 + w) * with_label - w * without
    expected = prediction.decode(output, x_t, t, degradation)
    torch.testing.assert_close(
        guided(restorer, x_t, t, None, labels, 1 + w), expected, rtol=1e-12, atol=1e-12
    )
    both = [prediction.decode(each, x_t, t, degradation) for each in (with_label, without)]
    mixed = (1 + w) * both[0] - w * both[1]
    torch.testing.assert_close(mixed, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("scale", "size"), [(0, 5), (1, 5), (0.5, 10), (2, 10)])
def test_one_call_of_the_network_and_no_more_of_it_than_needed(scale: float, size: int) -> None:
    restorer, (x_t, t, labels) = conditional(), batch()
    guided(restorer, x_t, t, None, labels, scale)
    assert isinstance(restorer.network, Conditional)
    assert [len(seen) for seen, _, _ in restorer.network.calls] == [size]


def test_without_labels_the_network_is_given_none_and_an_unconditional_model_takes_none() -> None:
    restorer, (x_t, t, labels) = conditional(), batch()
    assert torch.equal(guided(restorer, x_t, t, scale=2.0), restorer(x_t, t))
    assert isinstance(restorer.network, Conditional)
    assert [seen.tolist() for _, _, seen in restorer.network.calls] == [[-1] * 5] * 2
    with pytest.raises(ValueError, match="an unconditional model takes no labels"):
        guided(restorer_of(lambda x_t, t: x_t, Gaussian(linear(20))), x_t, t, None, labels)


def test_a_guidance_without_meaning_for_a_model_is_refused() -> None:
    unconditional = restorer_of(lambda x_t, t: x_t, Gaussian(linear(5)))
    check_guidance(unconditional, 1.0)
    check_guidance(conditional(), 3.0)
    check_guidance(conditional(label_dropout=0.0), 1.0)
    with pytest.raises(ValueError, match="guidance=2 needs a class-conditional model"):
        check_guidance(unconditional, 2.0)
    with pytest.raises(ValueError, match=r"guidance=0 needs .*label_dropout above 0"):
        check_guidance(conditional(label_dropout=0.0), 0.0)


# Two classes of one pixel, y = +-1 by label 1 and 0: x_0 ~ N(y MEAN, DEVIATION^2). They overlap, so
# that about one in six images of a class lies on the other's side.
MEAN, DEVIATION = 0.5, 0.5
SCHEDULE = cosine(200)


def best_noise_of_mixture(x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
    """E[eps | x_t, y] where there is a label, E[eps | x_t] where there is none, in closed form."""
    ab = alpha_bar_of(SCHEDULE)[t].view(-1, 1, 1, 1)
    variance = ab * DEVIATION**2 + 1 - ab
    # Of each class, eps given x_t is normal: its mean is sqrt(1 - ab) (x_t - E x_t) / var x_t.
    pull = (1 - ab).sqrt() / variance
    # log p(y = 1 | x_t) - log p(y = -1 | x_t) of two normals with means +- sqrt(ab) MEAN.
    believed = torch.tanh(ab.sqrt() * MEAN * x_t / variance)
    told = (2 * labels - 1).view(-1, 1, 1, 1).to(x_t)
    sign = torch.where(labels.view(-1, 1, 1, 1) < 0, believed, told)
    return pull * (x_t - ab.sqrt() * MEAN * sign)


def sampled_mixture(sampler: Sampler, labels: Tensor, exact: Gaussian) -> Tensor:
    network = Conditional(best_noise_of_mixture, num_classes=2)
    restorer = Restorer(network, exact, Noise(), PixelRange(-0.5, 0.5))
    draws = Generator().manual_seed(1)
    x_T = torch.randn(len(labels), 1, 1, 1, generator=draws, dtype=torch.float64)
    return sampler.sample(restorer, x_T, x_T, draws, labels=labels).flatten()


@pytest.mark.parametrize("kind", [DDIM, Ancestral, DPMSolver, Heun])
def test_guidance_on_a_mixture_of_two_normals_gives_the_class_that_was_asked_for(
    kind: type[Sampler],
) -> None:
    """Scale 1 gives p(x | y), scale 0 p(x), and above 1 the other side is shunned."""
    exact, count = exact_gaussian(SCHEDULE), 4000
    labels = torch.arange(count) % 2
    sides = (2 * labels - 1).double()

    def along_the_class(scale: float) -> Tensor:
        return sides * sampled_mixture(kind(clip=False, guidance=scale), labels, exact)

    error = 5 / math.sqrt(count)  # five standard deviations of a mean of unit variance
    right, mixed, strong = (along_the_class(scale) for scale in (1.0, 0.0, 4.0))
    assert right.mean().item() == pytest.approx(MEAN, abs=DEVIATION * error)
    assert right.std().item() == pytest.approx(DEVIATION, rel=error)
    expected = 0.5 * (1 + math.erf(MEAN / DEVIATION / math.sqrt(2)))
    assert (right > 0).double().mean().item() == pytest.approx(expected, abs=error / 2)
    # Without labels: both classes alike, with the variance of the mixture.
    assert mixed.mean().item() == pytest.approx(0, abs=error)
    assert mixed.std().item() == pytest.approx(math.hypot(MEAN, DEVIATION), rel=error)
    assert (strong > 0).double().mean() > 0.97
    assert strong.mean() > right.mean() + 0.2


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_labels_are_hidden_at_the_given_rate_whatever_they_are(share: float) -> None:
    labels = torch.arange(30_000) % 3
    kept = labels.clone()
    hidden = hide_labels(labels, share, Generator().manual_seed(0))
    assert torch.equal(labels, kept)
    gone = hidden == -1
    assert torch.equal(hidden[~gone], labels[~gone])
    for label in range(3):
        rate = gone[labels == label].double().mean().item()
        assert rate == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / 10_000))
    assert torch.equal(hidden, hide_labels(labels, share, Generator().manual_seed(0)))


def test_the_objective_shows_the_labels_to_the_network() -> None:
    restorer, labels = conditional(), torch.tensor([2, -1, 0])
    x_0 = torch.zeros(3, *SHAPE)
    losses = [MSE()(restorer, x_0, Generator().manual_seed(4), given) for given in (labels, None)]
    assert isinstance(restorer.network, Conditional)
    assert [seen.tolist() for _, _, seen in restorer.network.calls] == [[2, -1, 0], [-1, -1, -1]]
    assert losses[0] != losses[1]


def test_labels_are_drawn_by_their_shares_of_the_training_images() -> None:
    restorer, count = conditional(), 30_000
    uniform = draw_labels(restorer, count, seed=1)
    restorer.fit_labels(torch.tensor([0] * 5 + [2] * 15))
    fitted = draw_labels(restorer, count, seed=1)
    for labels, shares in ((uniform, [1 / 3] * 3), (fitted, [0.25, 0.0, 0.75])):
        assert labels is not None
        found = (labels.bincount(minlength=3) / count).tolist()
        assert found == pytest.approx(shares, abs=5 * math.sqrt(0.25 / count))
    assert torch.equal(fitted, draw_labels(restorer, count, seed=1))  # type: ignore[arg-type]
    assert not torch.equal(fitted, draw_labels(restorer, count, seed=2))  # type: ignore[arg-type]


def first_calls(restorer: Restorer, labels: Tensor | None, seed: int = 1) -> list[Tensor]:
    """x_T and labels of seven generated images, as the network first sees them."""
    assert isinstance(restorer.network, Conditional)
    restorer.network.calls.clear()
    sampler = DDIM(num_steps=2)
    for _ in generate(restorer, sampler, Normal(SHAPE), 7, 4, seed, labels):
        pass
    calls = restorer.network.calls[::2]
    return [torch.cat(parts) for parts in zip(*calls, strict=True)]


def test_generating_follows_the_given_labels_from_the_same_noise_whatever_they_are() -> None:
    restorer, labels = conditional(), torch.tensor([2, 1, 0, 2, 2, 1, 0])
    noise, _, seen = first_calls(restorer, labels)
    assert torch.equal(seen, labels)
    other_noise, _, seen = first_calls(restorer, torch.full((7,), 1))
    assert torch.equal(other_noise, noise)
    assert seen.tolist() == [1] * 7
    drawn_noise, _, seen = first_calls(restorer, None)
    assert torch.equal(drawn_noise, noise)
    assert torch.equal(seen, draw_labels(restorer, 7, seed=1))  # type: ignore[arg-type]

"""Labels on their way through training: hidden at the rate asked for, the same on resume."""

from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.generation import generate
from thaw.diffusion.objectives import MSE, WHOLE
from thaw.diffusion.predictions import Clean
from thaw.diffusion.priors.empirical import Empirical
from thaw.diffusion.priors.normal import Normal
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.gaussian import DDIM
from thaw.diffusion.schedules import cosine
from thaw.networks.cnn import CNN
from thaw.pixels import PixelRange
from thaw.training.module import DiffusionModule

SHAPE, RANGE = (1, 4, 4), PixelRange(-0.5, 0.5)


class Noted(MSE):
    """MSE that notes the labels and the first number of its generator."""

    def __init__(self) -> None:
        super().__init__()
        self.labels: list[Tensor | None] = []
        self.draws: list[float] = []

    def forward(
        self,
        restorer: Restorer,
        x_0: Tensor,
        generator: Generator | None = None,
        labels: Tensor | None = None,
        part: slice = WHOLE,
    ) -> Tensor:
        assert generator is not None
        self.labels.append(labels)
        self.draws.append(torch.rand((), generator=generator.clone_state()).item())
        return super().forward(restorer, x_0, generator, labels, part)


def module(num_classes: int | None, label_dropout: float = 0.25) -> DiffusionModule:
    degradation = LineAverage(SHAPE, "column", "random")
    network = CNN(
        SHAPE, 4, [2], kernel_size=1, num_classes=num_classes, label_dropout=label_dropout
    )
    made = DiffusionModule(
        Restorer(network, degradation, Clean(), RANGE),
        Empirical(SHAPE, RANGE, num_images=1),
        Noted(),
        torch.optim.Adam,
        None,
        seed=0,
        provenance={},
    )
    made.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    return made


def batch(size: int = 4000) -> tuple[Tensor, Tensor]:
    return torch.zeros(size, *SHAPE), torch.arange(size) % 3


def trained_labels(made: DiffusionModule, *batches: int) -> list[Any]:
    for number in batches:
        made.training_step(batch(), number)
    assert isinstance(made.objective, Noted)
    return made.objective.labels


def test_training_hides_its_share_of_the_labels_and_validation_none() -> None:
    made = module(num_classes=3)
    first, second = trained_labels(made, 0, 1)
    for labels in (first, second):
        assert (labels < 0).double().mean().item() == pytest.approx(0.25, abs=0.035)
        assert torch.equal(labels[labels >= 0], batch()[1][labels >= 0])
    assert not torch.equal(first, second)
    made.validation_step(batch(), 0)
    assert isinstance(made.objective, Noted)
    assert torch.equal(made.objective.labels[-1], batch()[1])  # type: ignore[arg-type]


def test_which_are_hidden_depends_on_the_batch_and_not_on_what_was_drawn_before() -> None:
    straight, resumed = module(num_classes=3), module(num_classes=3)
    undisturbed = trained_labels(straight, 0, 1, 2)
    torch.rand(17)
    assert torch.equal(trained_labels(resumed, 2)[0], undisturbed[2])


def test_steps_and_noise_are_those_of_the_unconditional_model() -> None:
    draws = []
    for num_classes in (None, 3):
        made = module(num_classes)
        made.training_step(batch(), 5)
        assert isinstance(made.objective, Noted)
        draws.append(made.objective.draws)
    assert draws[0] == draws[1]


@pytest.mark.parametrize(("guidance", "follows"), [(0.0, 0.5), (1.0, 1.0), (3.0, 1.0)])
def test_a_model_trained_on_two_classes_draws_the_one_it_is_told(
    guidance: float, follows: float, two_classes: DiffusionModule
) -> None:
    """Class 0 is bright on the left, class 1 on the right; without a label it is one of the two."""
    labels, sampler = torch.arange(400) % 2, DDIM(num_steps=10, guidance=guidance)
    prior = two_classes.prior
    (x_0,) = generate(two_classes.restorer, sampler, prior, 400, 400, seed=1, labels=labels)
    is_right = x_0[..., 2:].mean((1, 2, 3)) > x_0[..., :2].mean((1, 2, 3))
    found = (is_right == (labels == 1)).double().mean().item()
    assert found == pytest.approx(follows, abs=0.15 if guidance == 0 else 0.02)


@pytest.fixture(scope="module")
def two_classes() -> DiffusionModule:
    """A hundred and fifty steps of training."""
    torch.manual_seed(0)
    network = CNN(SHAPE, 20, [16, 16], kernel_size=5, num_classes=2, label_dropout=0.2)
    restorer = Restorer(network, Gaussian(cosine(20)), Clean(), RANGE)
    made = DiffusionModule(restorer, Normal(SHAPE), MSE(), torch.optim.Adam, None, 0, {})
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    labels = torch.arange(64) % 2
    x_0 = torch.full((64, *SHAPE), -0.4)
    x_0[labels == 0, ..., :2] = 0.4
    x_0[labels == 1, ..., 2:] = 0.4
    for number in range(150):
        optimizer.zero_grad()
        made.training_step((x_0, labels), number).backward()
        optimizer.step()
    return made

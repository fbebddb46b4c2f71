"""``breaches``: every way to break the contract of a degradation has its sentence."""

import pytest
import torch
from torch import Generator, Tensor

from thaw.diffusion import Degradation, breaches

X_0 = torch.linspace(-0.4, 0.5, 4 * 64).view(4, 1, 8, 8)


class Shrink(Degradation):
    """x_t = (1 - t / T) x_0 + t / T noise."""

    num_steps = 5

    def draw_noise(self, x_0: Tensor, generator: Generator | None = None) -> Tensor:
        return torch.rand(len(x_0), 1, 1, 1, generator=generator, dtype=x_0.dtype)

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return torch.lerp(x_0, noise.expand_as(x_0), self.share(t, x_0))

    def share(self, t: Tensor, x_0: Tensor) -> Tensor:
        return (t / self.num_steps).to(x_0.dtype).view(-1, 1, 1, 1)


class NoSteps(Shrink):
    num_steps = 0


class GlobalNoise(Shrink):
    def draw_noise(self, x_0: Tensor, generator: Generator | None = None) -> Tensor:
        return super().draw_noise(x_0)


class FixedNoise(Shrink):
    def draw_noise(self, x_0: Tensor, generator: Generator | None = None) -> Tensor:
        return torch.ones(len(x_0), 1, 1, 1)


class NoiseOfOne(Shrink):
    def draw_noise(self, x_0: Tensor, generator: Generator | None = None) -> Tensor:
        return super().draw_noise(x_0[:1], generator)


class StartsAtOne(Shrink):
    def share(self, t: Tensor, x_0: Tensor) -> Tensor:
        return super().share(t + 1, x_0)


class Fresh(Shrink):
    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return super().forward(x_0, t, torch.rand_like(x_0))


class Nothing(Shrink):
    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return x_0.clone()


class OfTheBatch(Shrink):
    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return super().forward(x_0, t, noise.mean(0, keepdim=True).expand_as(noise))


class NoProjection(Shrink):
    is_projection = True


class Projection(Shrink):
    """The first t rows become black, and it does not say what that is."""

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        rows = torch.arange(8).view(1, 1, 8, 1)
        return torch.where(rows < t.view(-1, 1, 1, 1), torch.full_like(x_0, -0.5), x_0)


class InPlace(Shrink):
    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return x_0.lerp_(noise.expand_as(x_0), self.share(t, x_0))


class NoiseInPlace(Shrink):
    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return super().forward(x_0, t, noise.mul_(0.5))


class Double(Shrink):
    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return super().forward(x_0.double(), t, noise.double())


def test_one_that_keeps_it_breaks_nothing() -> None:
    assert breaches(Shrink(), X_0) == []


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (NoSteps, "num_steps must be a whole number of at least 1, got 0"),
        (GlobalNoise, "draw_noise draws from the global generator"),
        (FixedNoise, "draw_noise does not depend on its generator"),
        (NoiseOfOne, "draw_noise returns 1 items for 4 images"),
        (StartsAtOne, "x_t at t = 0 is not exactly x_0"),
        (Fresh, "x_t differs when computed again"),
        (Nothing, "x_t is still x_0"),
        (OfTheBatch, "images at steps of their own differ"),
        (NoProjection, "is_projection is True, but"),
        (Projection, "is_projection is False, but"),
        (InPlace, "forward changes the x_0"),
        (NoiseInPlace, "forward changes the noise"),
        (Double, "x_t has another shape, type or device"),
    ],
)
def test_each_breach_is_named(kind: type[Degradation], words: str) -> None:
    assert any(words in sentence for sentence in breaches(kind(), X_0.clone()))

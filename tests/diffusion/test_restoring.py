"""Every way back from one x_t is what the degradation, the restorer and the samplers make of it."""

from typing import Any

import pytest
import torch
from theory_support import RANGE, restorer_of
from torch import Tensor, nn

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian, Noising, Scales
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.predictions import Clean, Noise
from thaw.diffusion.restoration import Restoration
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Estimate, Path, Sampler
from thaw.diffusion.samplers.cold import Cold, Naive
from thaw.diffusion.samplers.gaussian import DDIM, Ancestral
from thaw.diffusion.samplers.grids import Quadratic
from thaw.diffusion.schedules import cosine, linear
from thaw.ranks import Portion
from thaw.seeding import generator

SHAPE = (1, 8, 12)
LINES = LineAverage(SHAPE, "column", "random", group_size=2)
ORDERS = LineAverage(SHAPE, "row", "shuffled")


class HalfNoise(Noising):
    """x_t keeps the upper half of the image and fades the lower into noise, in ten steps."""

    num_steps = 10

    def scales(self, t: Tensor) -> Scales:
        lower = torch.arange(SHAPE[1]).view(-1, 1) >= SHAPE[1] // 2
        share = (t / self.num_steps).view(-1, 1, 1, 1) * lower
        return Scales((1 - share).sqrt(), share.sqrt())

    def scales_at(self, t: int) -> Scales:
        return Scales(*(scale.double() for scale in self.scales(torch.tensor([t]))))


class Stepwise(Sampler):
    """Neither algorithm: halfway to x_0_hat, and a draw from the generator."""

    def step(self, now: Estimate, s: int, path: Path) -> Tensor:
        z = torch.randn(now.x_t.shape, generator=path.generator)
        return (now.x_t + now.x_0_hat) / 2 + 0.01 * s * z


def blend(x_t: Tensor, t: Tensor) -> Tensor:
    return 0.7 * x_t.flip(3) + 0.01 * t.view(-1, 1, 1, 1)


@pytest.fixture
def images() -> Tensor:
    """More than one batch of four, the last one short."""
    return torch.randint(0, 256, (6, *SHAPE), dtype=torch.uint8)


# Of a noise that nobody knows.
UNKNOWN = (0, "restore", "noise")
BOTH = ("original", "degraded", "direct", "algorithm_1", "algorithm_2")
CASES = {
    "cold": (LINES, Cold(), BOTH),
    "naive": (LINES, Naive(num_steps=2, grid=Quadratic()), BOTH),
    "unclipped": (LINES, Cold(clip=False), BOTH),
    "orders of their own": (ORDERS, Cold(), BOTH),
    "neither": (LINES, Stepwise(num_steps=3), (*BOTH, "sampled")),
    "noise in a part": (HalfNoise(), Stepwise(num_steps=4), (*BOTH, "sampled")),
    "hot": (Gaussian(linear(12)), DDIM(num_steps=5), (*BOTH[:3], "sampled")),
    "ancestral": (Gaussian(linear(12)), Ancestral(), (*BOTH[:3], "sampled")),
}


@pytest.mark.parametrize("t", [None, 1, 4])
@pytest.mark.parametrize("name", CASES)
def test_every_stage_is_made_of_the_same_x_t_and_noise(
    name: str, t: int | None, images: Tensor
) -> None:
    degradation, sampler, stages = CASES[name]
    prediction = Noise() if isinstance(degradation, Gaussian) else Clean()
    restorer = restorer_of(blend, degradation, prediction)
    restoration = Restoration(restorer, sampler, t)
    assert restoration.stages == stages
    step = t or degradation.num_steps
    settings: Any = {"clip": sampler.clip, "grid": sampler.grid}
    num_steps = min(sampler.num_steps or step, step)
    for number, (found, batch) in enumerate(
        zip(restoration.batches(images, 4, seed=3), images.split(4), strict=True)
    ):
        assert tuple(found) == stages
        draws = generator(3, "restore", number)
        x_0 = RANGE.from_uint8(batch)
        noise = degradation.draw_noise(x_0, draws)
        steps = torch.full((len(batch),), step)
        x_t = degradation(x_0, steps, noise)
        assert torch.equal(found["original"], x_0)
        assert torch.equal(found["degraded"], x_t)
        with torch.no_grad():
            assert torch.equal(found["direct"], restorer(x_t, steps, noise))
            for stage, algorithm in (("algorithm_1", Naive), ("algorithm_2", Cold)):
                if stage in stages:
                    expected = algorithm(num_steps, **settings).sample(
                        restorer, x_t, noise, start=step
                    )
                    assert torch.equal(found[stage], expected)
            if "sampled" in stages:
                expected = sampler.sample(restorer, x_t, noise, draws, start=step)
                assert torch.equal(found["sampled"], expected)


def test_a_sampler_that_asks_for_noise_nobody_knows_is_given_another(images: Tensor) -> None:
    """With the noise of x_t Algorithm 2 would give back the image, whatever the network says."""
    hot, t = Gaussian(cosine(100)), 50
    restoration = Restoration(restorer_of(lambda x_t, t: 0 * x_t, hot), Cold(clip=False), t)
    (found,) = restoration.batches(images, len(images), seed=0)
    signal, sigma = hot.schedule[t].float()
    # x_t - b_t z, of the deviation sqrt(2) b_t about a_t x_0.
    missing = (found["sampled"] - signal * found["original"]) / sigma
    assert missing.std().item() == pytest.approx(2**0.5, rel=0.1)


@pytest.mark.parametrize("t", [None, 1, 4])
@pytest.mark.parametrize("degradation", [LINES, ORDERS, HalfNoise()], ids=["lines", "orders", "n"])
def test_a_perfect_restorer_makes_every_stage_exact(
    degradation: Degradation, t: int | None, images: Tensor
) -> None:
    x_0 = RANGE.from_uint8(images)
    restoration = Restoration(restorer_of(lambda x_t, t: x_0, degradation), Cold(), t, refine=True)
    (found,) = restoration.batches(images, len(images), seed=0)
    assert len(found) == 7
    assert not torch.equal(found["degraded"], x_0)
    for name in found.keys() - {"degraded"}:
        # Algorithm 2 adds and takes away the same noise, which costs a rounding.
        torch.testing.assert_close(found[name], x_0, rtol=0, atol=1e-6)


@pytest.mark.parametrize("algorithm", [Cold, Naive])
@pytest.mark.parametrize("degradation", [LINES, Gaussian(linear(12))], ids=["lines", "noise"])
def test_a_sampler_that_ends_refined_does_so_in_a_stage_of_its_own(
    algorithm: type[Cold | Naive], degradation: Degradation, images: Tensor
) -> None:
    restorer = restorer_of(blend, degradation)
    sampler = algorithm(3, refine=True)
    of_run = Restoration(restorer, sampler)
    asked_for = Restoration(restorer, algorithm(3), refine=True)
    assert of_run.stages == asked_for.stages
    assert of_run.describe() == asked_for.describe() == f"{algorithm.__name__}, 3 steps"
    (found,), (expected,) = (each.batches(images, 6, 1) for each in (of_run, asked_for))
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    own = "algorithm_2" if algorithm is Cold else "algorithm_1"
    own, key = (own, (1, "restore", 0)) if degradation is LINES else ("sampled", UNKNOWN)
    noise = degradation.draw_noise(found["original"], generator(*key))
    with torch.no_grad():
        x_0 = sampler.sample(restorer, found["degraded"], noise)
    assert torch.equal(found[f"{own}_refined"], x_0)
    assert sampler.refine


def test_images_that_are_degraded_already_are_restored_as_they_are(images: Tensor) -> None:
    x_t = RANGE.from_uint8(images)
    restoration = Restoration(restorer_of(blend, LINES), Cold(), t=4)
    found = list(restoration.batches(images, 4, seed=0, is_degraded=True))
    assert [tuple(stages) for stages in found] == [BOTH[1:]] * 2
    assert torch.equal(torch.cat([stages["degraded"] for stages in found]), x_t)
    with torch.no_grad():
        expected = Cold().sample(restoration.restorer, x_t, x_t.new_empty(6, 0), start=4)
    restored = torch.cat([stages["algorithm_2"] for stages in found])
    torch.testing.assert_close(restored, expected, rtol=0, atol=0)


@pytest.mark.parametrize("t", [0, 7, 2.5])
def test_a_step_outside_1_to_T_is_refused(t: object) -> None:  # noqa: N802
    with pytest.raises(ValueError, match=f"^t must be a whole number from 1 to 6, got {t!r}$"):
        Restoration(restorer_of(blend, LINES), Cold(), t)  # type: ignore[arg-type]


class Told(nn.Module):
    """A class-conditional network whose answer is the label; it notes the labels."""

    num_classes = 3

    def __init__(self, label_dropout: float = 0.1) -> None:
        super().__init__()
        self.label_dropout = label_dropout
        self.anchor = nn.Parameter(torch.zeros(()))
        self.seen: list[list[int]] = []

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        self.seen.append(labels.tolist())
        return 0.1 * labels.view(-1, 1, 1, 1).expand(x_t.shape) + self.anchor


@pytest.fixture
def digits() -> tuple[Tensor, Tensor]:
    images = torch.randint(0, 256, (5, *SHAPE), dtype=torch.uint8)
    return images, torch.tensor([2, 0, 1, 1, 2])


def test_a_conditional_model_is_told_each_image_s_own_label(digits: tuple[Tensor, Tensor]) -> None:
    images, labels = digits
    network = Told(label_dropout=0)
    restorer = Restorer(network, LINES, Clean(), RANGE)
    restoration = Restoration(restorer, Cold(clip=False), refine=True)
    batches = list(restoration.batches(images, 2, seed=0, labels=labels))
    found = {name: torch.cat([batch[name] for batch in batches]) for name in restoration.stages}
    answer = 0.1 * labels.view(-1, 1, 1, 1).expand(images.shape)
    for name in ("direct", "algorithm_1", "algorithm_1_refined", "algorithm_2_refined"):
        torch.testing.assert_close(found[name], answer, rtol=0, atol=1e-6)
    assert {tuple(seen) for seen in network.seen} == {(2, 0), (1, 1), (2,)}
    # Of several processes each is told those of its own batches.
    network.seen.clear()
    (last,) = restoration.batches(images, 3, seed=0, portion=Portion(1, 2), labels=labels)
    assert len(last["direct"]) == 2
    assert {tuple(seen) for seen in network.seen} == {(1, 2)}
    assert (restoration.describe(), restoration.labels_in_words()) == (
        "Cold, 6 steps, not clipped", "with their own labels",
    )  # fmt: skip


def test_it_is_guided_as_its_sampler_says_and_at_0_told_no_label(
    digits: tuple[Tensor, Tensor],
) -> None:
    images, labels = digits
    network = Told()
    restorer = Restorer(network, LINES, Clean(), RANGE)
    strong = Restoration(restorer, Cold(clip=False, guidance=2))
    (found,) = strong.batches(images, 5, seed=0, labels=labels)
    # -0.1 without a label, so 2 (0.1 y) + 0.1.
    expected = (0.2 * labels + 0.1).view(-1, 1, 1, 1).expand(images.shape)
    for name in ("direct", "algorithm_1"):
        torch.testing.assert_close(found[name], expected, rtol=0, atol=1e-6)
    assert strong.describe() == "Cold, 6 steps, not clipped, guidance 2"
    network.seen.clear()
    without = Restoration(restorer, Cold(guidance=0))
    for given in (labels, None):
        list(without.batches(images, 5, seed=0, labels=given))
    assert {tuple(seen) for seen in network.seen} == {(-1,) * 5}
    assert without.labels_in_words() == "without labels"


def test_a_conditional_model_does_not_restore_without_labels(
    digits: tuple[Tensor, Tensor],
) -> None:
    restorer = Restorer(Told(), LINES, Clean(), RANGE)
    with pytest.raises(ValueError, match="restores images by their labels"):
        next(Restoration(restorer, Cold()).batches(digits[0], 5, seed=0))

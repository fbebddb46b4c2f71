"""What holds for every file of conf/degradation/, and for both algorithms with it."""

from copy import deepcopy
from fnmatch import fnmatch
from functools import cache
from itertools import pairwise, product
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from hydra import compose, initialize_config_dir
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig
from sampler_support import restore, step
from torch import Generator, Tensor, nn

from thaw.commands import config
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.predictions import Clean
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Sampler
from thaw.diffusion.samplers.cold import Cold, Naive
from thaw.diffusion.samplers.grids import Trailing
from thaw.diffusion.schedules import NOTHING_LEFT
from thaw.pixels import PixelRange
from thaw.training.experiment import make

CONF = Path(__file__).resolve().parents[2] / "conf"
NAMES = sorted(path.stem for path in CONF.glob("degradation/*.yaml"))
LINES = [n for n in NAMES if n.startswith(("column_", "row_")) and not n.endswith("_noise")]
# Which means a degradation keeps, by name: over these dimensions of [B, C, H, W].
MEANS: dict[str, tuple[int, ...]] = {
    "column_*": (2,),
    "row_*": (3,),
    "decolour": (1,),
    "blur": (2, 3),
    "fade": (2, 3),
    "pixelate": (2, 3),
}
# Each degradation is tried with those of these that it takes.
SHAPES = ((1, 28, 28), (3, 16, 20))
RANGE = PixelRange(-0.5, 0.5)
# A long trajectory is walked in no more steps than this.
MOST_STEPS = 12

every_name = pytest.mark.parametrize("name", NAMES)
every_average = pytest.mark.parametrize("name", LINES)
every_algorithm = pytest.mark.parametrize("sampler", [Naive, Cold])
few = settings(max_examples=6, deadline=None, derandomize=True)


@cache
def composed(name: str) -> DictConfig:
    config.register()
    quick = ["data=mnist_5k", "metrics=none", "logger=none", "schedule.timesteps=30"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=[f"degradation={name}", *quick])


def configured(name: str, **changes: object) -> DictConfig:
    """The node that ``degradation=name`` and ``degradation.KEY=VALUE`` make."""
    cfg = deepcopy(composed(name))
    for key, value in changes.items():
        cfg.degradation[key] = value
    return cfg.degradation


shape_of: dict[Degradation, tuple[int, int, int]] = {}


@cache
def built(name: str, shape: tuple[int, int, int], **changes: object) -> Degradation | None:
    """The degradation, fitted to random images; None where it does not take their shape."""
    try:
        degradation: Degradation = make(
            configured(name, **changes), image_shape=shape, pixel_range=RANGE
        )
    except ValueError:
        return None
    draws = Generator().manual_seed(0)
    degradation.fit(torch.randint(0, 256, (40, *shape), generator=draws, dtype=torch.uint8))
    shape_of[degradation] = shape
    return degradation


class Case(NamedTuple):
    """A degradation with images in [-0.5, 0.5], float64, and their noise."""

    degradation: Degradation
    x_0: Tensor
    noise: Tensor

    def at(self, t: int | Tensor, x: Tensor | None = None) -> Tensor:
        """D(x, t), x being x_0 if None, at a step of each image's own or one for all."""
        x = self.x_0 if x is None else x
        steps = t if isinstance(t, Tensor) else torch.full((len(x),), t)
        return self.degradation(x, steps, self.noise)


def taken(name: str, **changes: object) -> list[Degradation]:
    """The degradation for each shape that it takes, one at least."""
    all_built = [built(name, shape, **changes) for shape in SHAPES]
    degradations = [degradation for degradation in all_built if degradation is not None]
    assert degradations, f"{name} takes none of {SHAPES}"
    return degradations


def new_case(degradation: Degradation, num_images: int = 3, seed: int = 0) -> Case:
    draws = Generator().manual_seed(seed)
    shape = shape_of[degradation]
    x_0 = torch.rand(num_images, *shape, generator=draws, dtype=torch.float64) - 0.5
    return Case(degradation, x_0, degradation.draw_noise(x_0, draws))


@st.composite
def cases(draw: st.DrawFn, name: str, **changes: object) -> Case:
    degradation = draw(st.sampled_from(taken(name, **changes)))
    return new_case(degradation, draw(st.integers(1, 4)), draw(st.integers(0, 999)))


def steps_of(data: st.DataObject, case: Case) -> Tensor:
    """A step of each image's own, 0..T."""
    step = st.integers(0, case.degradation.num_steps)
    return torch.tensor([data.draw(step) for _ in case.x_0])


def largest(difference: Tensor) -> float:
    return difference.abs().max().item()


@every_name
def test_what_leaves_nothing_says_so(name: str) -> None:
    """Of images that differ in brightness, all in the same noise."""
    for degradation in taken(name):
        case = new_case(degradation, num_images=2)
        x_0 = torch.stack([case.x_0[0] - 0.3, case.x_0[0] + 0.3])
        noise = case.noise[:1].expand_as(case.noise)
        x_T = degradation(x_0, torch.full((2,), degradation.num_steps), noise)
        left = ((x_T[1] - x_T[0]) ** 2).sum() / ((x_0[1] - x_0[0]) ** 2).sum()
        if name == "gaussian":  # whatever the schedule, and here it ends at 0.7
            assert degradation.leaves_nothing
        else:
            assert degradation.leaves_nothing == (left < NOTHING_LEFT)


@every_name
@given(data=st.data())
@few
def test_mixed_steps_equal_one_by_one_and_nothing_given_is_touched(
    name: str, data: st.DataObject
) -> None:
    case = data.draw(cases(name))
    t = steps_of(data, case)
    x_0, noise = case.x_0.clone(), case.noise.clone()
    x_t = case.at(t)
    assert torch.equal(case.x_0, x_0)
    assert torch.equal(case.noise, noise)
    assert x_t.shape == x_0.shape
    for k in range(len(x_0)):
        one = slice(k, k + 1)
        alone = case.degradation(x_0[one], t[one], noise[one])
        torch.testing.assert_close(alone, x_t[one], rtol=0, atol=1e-12)


DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
ROUNDING = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 3e-2}


@every_name
@pytest.mark.parametrize("device", DEVICES)
@given(data=st.data())
@few
def test_dtype_and_device_stay_and_the_values_too(
    name: str, device: str, data: st.DataObject
) -> None:
    """Also under autocast. At step 0 the image is itself, bit for bit."""
    case = data.draw(cases(name))
    dtype = data.draw(st.sampled_from(list(ROUNDING)))
    t = steps_of(data, case).to(device)
    t[0] = 0
    degradation = deepcopy(case.degradation).to(device)
    x_0 = case.x_0.to(device, dtype)
    with torch.autocast(device, enabled=data.draw(st.booleans())):
        noise = degradation.draw_noise(x_0, Generator(device).manual_seed(0))
        x_t = degradation(x_0, t, noise)
    assert (x_t.dtype, x_t.device) == (x_0.dtype, x_0.device)
    assert noise.device == x_0.device
    assert torch.equal(x_t[0], x_0[0])
    exact = degradation(x_0.double(), t, noise.double() if noise.is_floating_point() else noise)
    torch.testing.assert_close(x_t.double(), exact, rtol=0, atol=ROUNDING[dtype])


@every_name
@given(data=st.data())
@few
def test_noise_belongs_to_each_image_and_is_the_generators(name: str, data: st.DataObject) -> None:
    case = data.draw(cases(name))
    before = torch.random.get_rng_state()
    once, again = (
        case.degradation.draw_noise(case.x_0, Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert isinstance(once, Tensor)
    assert len(once) == len(case.x_0)
    assert torch.equal(once, again)


@every_name
@given(data=st.data())
@few
def test_it_degrades(name: str, data: st.DataObject) -> None:
    case = data.draw(cases(name))
    last = case.degradation.num_steps
    for t in (max(1, last // 2), last):
        change = (case.at(t) - case.x_0).flatten(1).abs().amax(1)
        assert (change > 1e-3).all()


@every_name
def test_what_it_has_learnt_and_drawn_travels_in_its_state(name: str) -> None:
    """One of another seed, not fitted, given the state of this one, does as this one does."""
    case = new_case(taken(name)[0])
    changes = {"seed": 99} if "seed" in configured(name) else {}
    node = configured(name, **changes)
    other = make(node, image_shape=shape_of[case.degradation], pixel_range=RANGE)
    other.load_state_dict(case.degradation.state_dict())
    noise = other.draw_noise(case.x_0, Generator().manual_seed(5))
    assert torch.equal(noise, case.degradation.draw_noise(case.x_0, Generator().manual_seed(5)))
    for t in spread_steps(case.degradation):
        assert torch.equal(Case(other, *case[1:]).at(t), case.at(t))


def spread_steps(degradation: Degradation) -> list[int]:
    """Up to five from 1 to T, both of them among these."""
    last = degradation.num_steps
    return sorted({1, 2, last // 2, last - 1, last} & set(range(1, last + 1)))


@every_name
def test_it_is_a_projection_exactly_where_it_says_so(name: str) -> None:
    """D_s D_r = D_max(s, r), idempotent at s = r; where not promised, some pair breaks it."""
    for degradation in taken(name):
        case = new_case(degradation)
        pairs = list(product(spread_steps(degradation), repeat=2))
        errors = [largest(case.at(s, case.at(r)) - case.at(max(s, r))) for s, r in pairs]
        assert (max(errors) < 1e-6) == degradation.is_projection


@every_name
@given(data=st.data())
@few
def test_what_is_left_of_an_image_completes_to_its_end(name: str, data: st.DataObject) -> None:
    """x_T is made of the remainder and the noise; of a drawn remainder too where D projects."""
    case = data.draw(cases(name))
    degradation, last = case.degradation, case.degradation.num_steps
    try:
        remainder = degradation.remainder(case.x_0)
    except ValueError as error:
        refusal = str(error)
    else:
        refusal = None
    if refusal is not None:
        assert case.noise.numel()
        assert "prior=empirical" in refusal
        return
    x_T = degradation.complete(remainder, case.noise)
    torch.testing.assert_close(x_T, case.at(last), rtol=0, atol=1e-6)
    drawn = degradation.complete(remainder + torch.randn_like(remainder), case.noise)
    if degradation.is_projection:
        torch.testing.assert_close(case.at(last, drawn), drawn, rtol=0, atol=1e-6)


def test_a_mask_says_what_is_spoilt() -> None:
    """0 at step 0 and only where x_t is x_0; it grows, and is of x_t's type."""
    conditioned = [name for name in NAMES if "condition" in configured(name)]
    assert conditioned
    for name, shape in product(conditioned, SHAPES):
        degradation = built(name, shape, condition="mask")
        assert degradation is not None
        case = new_case(degradation)
        before = torch.zeros(3, 1, *shape[1:], dtype=torch.float64)
        for t in (0, *spread_steps(degradation)):
            mask = degradation.mask(case.at(t), torch.full((3,), t), case.noise)
            assert (mask.shape, mask.dtype) == (before.shape, before.dtype), name
            assert (mask >= before).all(), name
            change = (case.at(t) - case.x_0).abs().amax(1, keepdim=True)
            assert (change[mask == 0] == 0).all(), name
            assert (change[mask > 1e-6] > 0).all(), name
            before = mask
        assert (before <= 1).all()
        assert before.max() > 0.9


KEPT = [
    pytest.param(name, dims, id=name)
    for pattern, dims in MEANS.items()
    for name in NAMES
    if fnmatch(name, pattern)
]


@pytest.mark.parametrize(("name", "dims"), KEPT)
@given(data=st.data())
@few
def test_means_stay(name: str, dims: tuple[int, ...], data: st.DataObject) -> None:
    case = data.draw(cases(name))
    means = case.at(steps_of(data, case)).mean(dims)
    torch.testing.assert_close(means, case.x_0.mean(dims), rtol=0, atol=1e-6)


def step_of_each_line(case: Case) -> Tensor:
    """The step at which each line or group is averaged, of each image: ``[B, T]``."""
    assert isinstance(case.degradation, LineAverage)
    is_shuffled = case.noise.numel() > 0
    return case.noise if is_shuffled else case.degradation.step_of_line.expand(len(case.x_0), -1)


def lines_of(name: str, x: Tensor, group_size: int) -> Tensor:
    """``[B, T, pixels]`` of images ``[B, C, H, W]``: all that a line or group is made of."""
    by_line = x.movedim(3 if name.startswith("column") else 2, 1)
    return by_line.unflatten(1, (-1, group_size)).flatten(2)


@every_average
@given(data=st.data())
@few
def test_averaging_changes_exactly_t_lines(name: str, data: st.DataObject) -> None:
    group_size = data.draw(st.sampled_from([1, 2, 4]))
    case = data.draw(cases(name, group_size=group_size))
    t = steps_of(data, case)
    changed = lines_of(name, case.at(t) != case.x_0, group_size)
    averaged = step_of_each_line(case) <= t[:, None]
    assert torch.equal(averaged.sum(1), t)
    assert torch.equal(changed, averaged[:, :, None].expand_as(changed))


class Always(nn.Module):
    """A network that knows the answer."""

    def __init__(self, x_0: Tensor) -> None:
        super().__init__()
        self.x_0 = x_0

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return self.x_0


class Wild(nn.Module):
    """A network that has learnt nothing: random weights, far off at every step."""

    def __init__(self, channels: int, seed: int) -> None:
        super().__init__()
        draws = Generator().manual_seed(seed)
        self.kernel = torch.randn(channels, channels, 3, 3, generator=draws, dtype=torch.float64)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        clock = t.double().sin().view(-1, 1, 1, 1)
        return nn.functional.conv2d(x_t, self.kernel, padding=1).add(clock).tanh() / 2


def restorer_of(network: nn.Module, degradation: Degradation) -> Restorer:
    return Restorer(network, degradation, Clean(), RANGE)


def walk(sampler: Sampler, network: nn.Module, case: Case, x_t: Tensor, t: int) -> Tensor:
    """x_0 from x_t ``[B, C, H, W]``, in no more than MOST_STEPS steps."""
    restorer = restorer_of(network, case.degradation)
    for now, s in pairwise(Trailing().times(t, min(t, MOST_STEPS))):
        x_0_hat = restore(sampler, restorer, x_t, now, case.noise)
        x_t = step(sampler, x_t, x_0_hat, now, s, case.noise, case.degradation, None)
    return x_t


@every_algorithm
@every_name
@given(data=st.data())
@few
def test_a_perfect_restorer_leads_back_bit_for_bit(
    name: str, sampler: type[Sampler], data: st.DataObject
) -> None:
    """From any step, and from the last one by the sampler's own loop."""
    case = data.draw(cases(name))
    last = case.degradation.num_steps
    t = data.draw(st.integers(1, last))
    assert torch.equal(walk(sampler(), Always(case.x_0), case, case.at(t), t), case.x_0)
    restorer = restorer_of(Always(case.x_0), case.degradation)
    x_0 = sampler(min(last, MOST_STEPS)).sample(restorer, case.at(last), case.noise)
    assert torch.equal(x_0, case.x_0)


class Shift(Degradation):
    """D(x, s) = x + s e, the linear degradation of Bansal et al. 2022, section 3.3."""

    def __init__(self, e: Tensor, num_steps: int) -> None:
        super().__init__()
        self.e = e
        self.num_steps = num_steps

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return x_0 + t.view(-1, 1, 1, 1) * self.e


@given(
    num_steps=st.integers(1, 30),
    start=st.floats(0, 1),
    clip=st.booleans(),
    channels=st.integers(1, 3),
    seed=st.integers(0, 999),
)
@settings(few, max_examples=25)
def test_algorithm_2_undoes_a_shift_with_any_restorer(
    num_steps: int, start: float, clip: bool, channels: int, seed: int
) -> None:
    draws = Generator().manual_seed(seed)
    x_0, e = torch.rand(2, 2, channels, 5, 7, generator=draws, dtype=torch.float64) - 0.5
    degradation = Shift(e[0], num_steps)
    case = Case(degradation, x_0, degradation.draw_noise(x_0))
    t = 1 + round(start * (num_steps - 1))
    network = Wild(channels, seed)
    restored = walk(Cold(clip=clip), network, case, case.at(t), t)
    torch.testing.assert_close(restored, x_0, rtol=0, atol=1e-12)
    assert largest(walk(Naive(clip=clip), network, case, case.at(t), t) - x_0) > 1e-3


@every_average
@given(data=st.data())
@few
def test_algorithm_2_with_averaging_keeps_the_means_and_changes_a_line_a_step(
    name: str, data: st.DataObject
) -> None:
    group_size = data.draw(st.sampled_from([1, 2, 4]))
    case = data.draw(cases(name, group_size=group_size))
    degradation, last = case.degradation, case.degradation.num_steps
    network = Wild(case.x_0.shape[1], seed=data.draw(st.integers(0, 999)))
    states = list(Cold().trajectory(restorer_of(network, degradation), case.at(last), case.noise))
    means = lines_of(name, case.at(last), group_size)
    for before, after in pairwise(states):
        now_means = lines_of(name, case.at(last, after.x_t), group_size)
        torch.testing.assert_close(now_means, means, rtol=0, atol=1e-12)
        change = lines_of(name, after.x_t - before.x_t, group_size).abs().amax(2)
        assert torch.equal(change > 1e-10, step_of_each_line(case) == before.t)


@every_algorithm
@pytest.mark.parametrize("name", ["column_shuffled", "fade", "inpaint_random", "pixelate"])
def test_restoring_from_a_step_goes_on_as_the_full_chain_does(
    name: str, sampler: type[Sampler]
) -> None:
    for degradation in taken(name):
        case = new_case(degradation)
        restorer = restorer_of(Wild(case.x_0.shape[1], seed=0), degradation)
        chain = list(sampler().trajectory(restorer, case.at(degradation.num_steps), case.noise))
        for state in chain[: -1 : max(1, len(chain) // 4)]:
            x_0 = sampler().sample(restorer, state.x_t, case.noise, start=state.t)
            assert torch.equal(x_0, chain[-1].x_t)

"""What holds for every file of conf/degradation/, for a bridge to it, and for both algorithms."""

from copy import deepcopy
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from theory_support import RANGE
from torch import Generator, Tensor, nn

from thaw.diffusion.contract import breaches
from thaw.diffusion.degradations.base import SMALLEST, Degradation
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.predictions import Clean
from thaw.diffusion.priors.normal import Normal
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Sampler
from thaw.diffusion.samplers.cold import Cold, Naive
from thaw.diffusion.schedules import NOTHING_LEFT, cosine
from thaw.diffusion.zero_shot import DPS, Rival
from thaw.training.nodes import create

CONF = Path(__file__).resolve().parents[2] / "conf"
# Bridges are called by where they lead: ``to/pixelate``; a + stands for noise at their end.
ENDS = sorted(path.stem for path in CONF.glob("degradation/to/*.yaml"))
NAMES = sorted(path.stem for path in CONF.glob("degradation/*.yaml") if path.stem != "bridge")
BRIDGES = [f"to/{name}" for name in ENDS]
NOISY = ["to/pixelate+", "to/column_shuffled+", "to/inpaint_random+", "to/snow+", "to/row_noise+",
         "to/paired+"]  # fmt: skip
LINES = [n for n in NAMES if n.startswith(("column_", "row_")) and not n.endswith("_noise")]
# Each degradation is tried with those of these that it takes.
SHAPES = ((1, 28, 28), (3, 16, 20))
# A long trajectory is walked in no more steps than this.
MOST_STEPS = 12

every_name = pytest.mark.parametrize("name", [*NAMES, *BRIDGES, *NOISY])
every_average = pytest.mark.parametrize("name", LINES)


class Halved(nn.Module):
    """A network that has a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return self.factor * x_t


class Case(NamedTuple):
    """A degradation with four images in [-0.5, 0.5], float64, their noise and steps 0..T.

    ``stored`` are the images as a data set has them, with partners where those are taken.
    """

    degradation: Degradation
    x_0: Tensor
    noise: Tensor
    t: Tensor
    stored: Tensor

    def at(self, t: int | Tensor, x: Tensor | None = None) -> Tensor:
        """D(x, t), x being x_0 if None, at a step of each image's own or one for all."""
        x = self.x_0 if x is None else x
        steps = t if isinstance(t, Tensor) else torch.full((len(x),), t)
        return self.degradation(x, steps, self.noise)

    @property
    def last(self) -> int:
        return self.degradation.num_steps


def own_values(name: str) -> DictConfig:
    """conf/degradation/NAME.yaml on what it is built on; composing by Hydra takes long."""
    if name.startswith("to/"):
        end = {"to": own_values(name.removeprefix("to/").removesuffix("+"))}
        noise = {"noise": 0.1 if name.endswith("+") else 0.0}
        bridge = OmegaConf.merge(own_values("bridge"), end, noise)
        assert isinstance(bridge, DictConfig)
        return bridge
    cfg = OmegaConf.load(CONF / "degradation" / f"{name}.yaml")
    names = [entry for entry in cfg.pop("defaults", []) if isinstance(entry, str)]
    parents = [each for each in names if each != "_self_" and not each.startswith("/")]
    merged = OmegaConf.merge(*map(own_values, parents), cfg)
    assert isinstance(merged, DictConfig)
    return merged


def configured(name: str, **changes: object) -> DictConfig:
    """The node that ``degradation=name`` and ``degradation.KEY=VALUE`` make."""
    schedule = {"_target_": "thaw.diffusion.schedules.cosine", "timesteps": 30}
    own = OmegaConf.merge(own_values(name), changes)
    return OmegaConf.create({"seed": 0, "schedule": schedule, "degradation": own}).degradation


@cache
def built(name: str, shape: tuple[int, int, int], **changes: object) -> Degradation | None:
    """The degradation, fitted to random images; None where it does not take their shape."""
    try:
        degradation: Degradation = create(
            configured(name, **changes), image_shape=shape, pixel_range=RANGE
        )
    except ValueError:
        return None
    draws = Generator().manual_seed(0)
    degradation.fit(torch.randint(0, 256, (40, *shape), generator=draws, dtype=torch.uint8))
    return degradation


def cases(name: str, **changes: object) -> list[Case]:
    """One for each shape that the degradation takes, one at least."""
    found = []
    for shape in SHAPES:
        degradation = built(name, shape, **changes)
        if degradation is not None:
            draws = Generator().manual_seed(0)
            size = (shape[0] * (2 if degradation.takes_partners else 1), *shape[1:])
            stored = torch.rand(4, *size, generator=draws, dtype=torch.float64) - 0.5
            x_0, noise = degradation.draw(stored, draws)
            last = degradation.num_steps
            between = torch.randint(1, last + 1, (2,), generator=draws)
            t = torch.cat([torch.tensor([0, last]), between])
            found.append(Case(degradation, x_0, noise, t, stored))
    assert found, f"{name} takes none of {SHAPES}"
    return found


def spread_steps(case: Case) -> list[int]:
    """Up to five from 1 to T, both of them among these."""
    return sorted({1, 2, case.last // 2, case.last - 1, case.last} & set(range(1, case.last + 1)))


def test_a_bridge_leads_to_every_other_degradation() -> None:
    """Each file of conf/degradation/to/ is the one of the same name."""
    assert NAMES == ENDS
    for name in ENDS:
        text = (CONF / "degradation" / "to" / f"{name}.yaml").read_text(encoding="utf-8")
        assert text.endswith(f"defaults:\n  - /degradation/{name}@_here_\n")


@every_name
def test_what_leaves_nothing_says_so(name: str) -> None:
    """Of images that differ in brightness, all in the same noise, which a partner is not."""
    for degradation, x_0, noise, *_ in cases(name):
        if degradation.takes_partners:
            assert not degradation.leaves_nothing
            continue
        x_0 = torch.stack([x_0[0] - 0.3, x_0[0] + 0.3])
        noise = noise[:1].expand(2, *noise.shape[1:])
        x_T = degradation(x_0, torch.full((2,), degradation.num_steps), noise)
        left = ((x_T[1] - x_T[0]) ** 2).sum() / ((x_0[1] - x_0[0]) ** 2).sum()
        assert degradation.leaves_nothing == (left < NOTHING_LEFT)


@every_name
def test_a_schedule_is_there_where_the_configuration_has_one(name: str) -> None:
    """So schedule.csv is written for exactly those degradations that the report asks for it."""
    for case in cases(name):
        schedule = case.degradation.schedule
        assert (schedule is not None) == ("schedule" in configured(name))
        assert schedule is None or (schedule.dtype, len(schedule)) == (torch.float64, case.last + 1)


@every_name
def test_it_keeps_the_contract(name: str) -> None:
    for case in cases(name):
        assert breaches(case.degradation, case.stored) == []
        assert breaches(case.degradation, case.stored.float()) == []


DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
ROUNDING = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 5e-3}


@every_name
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("autocast", [False, True])
def test_dtype_and_device_stay_and_the_values_too(name: str, device: str, autocast: bool) -> None:
    """Also under autocast. At step 0 the image is itself, bit for bit."""
    case = cases(name)[-1]
    degradation, t = deepcopy(case.degradation).to(device), case.t.to(device)
    for dtype, rounding in ROUNDING.items():
        stored = case.stored.to(device, dtype)
        with torch.autocast(device, enabled=autocast):
            x_0, noise = degradation.draw(stored, Generator(device).manual_seed(0))
            x_t = degradation(x_0, t, noise)
        assert (x_t.dtype, x_t.device) == (x_0.dtype, x_0.device)
        assert noise.device == x_0.device
        assert torch.equal(x_t[0], x_0[0])
        wide = noise.double() if noise.is_floating_point() else noise
        exact = degradation(x_0.double(), t, wide)
        torch.testing.assert_close(x_t.double(), exact, rtol=0, atol=rounding)


@every_name
def test_what_it_has_learnt_and_drawn_travels_in_its_state(name: str) -> None:
    """One of another seed, not fitted, given the state of this one, does as this one does."""
    case = cases(name)[0]
    node = configured(name)
    for own in (node, node.get("to", {})):
        if "seed" in own:
            own["seed"] = 99
    other = create(node, image_shape=tuple(case.x_0.shape[1:]), pixel_range=RANGE)
    other.load_state_dict(case.degradation.state_dict())
    draws = (
        each.draw(case.stored, Generator().manual_seed(5)) for each in (other, case.degradation)
    )
    assert all(map(torch.equal, *draws))
    for t in spread_steps(case):
        assert torch.equal(Case(other, *case[1:]).at(t), case.at(t))


@every_name
def test_what_is_left_of_an_image_completes_to_its_end(name: str) -> None:
    """x_T is made of the remainder and the noise; of a drawn remainder too where D projects."""
    for case in cases(name):
        degradation = case.degradation
        try:
            remainder = degradation.remainder(case.x_0)
        except ValueError as error:
            assert case.noise.numel()
            assert "in its own way" in str(error)  # noqa: PT017 - or nothing is raised
            continue
        x_T = degradation.complete(remainder, case.noise)
        torch.testing.assert_close(x_T, case.at(case.last), rtol=0, atol=1e-6)
        drawn = degradation.complete(remainder + torch.randn_like(remainder), case.noise)
        if degradation.is_projection:
            torch.testing.assert_close(case.at(case.last, drawn), drawn, rtol=0, atol=1e-6)


def test_a_mask_says_what_is_spoilt() -> None:
    """0 at step 0 and only where x_t is x_0; it grows, and is of x_t's type."""
    conditioned = [name for name in NAMES if "condition" in configured(name)]
    assert conditioned
    for name in conditioned:
        for case in cases(name, condition="mask"):
            before = torch.zeros_like(case.x_0[:, :1])
            for t in (0, *spread_steps(case)):
                mask = case.degradation.mask(case.at(t), torch.full((4,), t), case.noise)
                assert (mask.shape, mask.dtype) == (before.shape, before.dtype), name
                assert (mask >= before).all(), name
                change = (case.at(t) - case.x_0).abs().amax(1, keepdim=True)
                assert (change[mask == 0] == 0).all(), name
                assert (change[mask > 1e-6] > 0).all(), name
                before = mask
            assert (before <= 1).all()
            assert before.max() > 0.9


def step_of_each_line(case: Case) -> Tensor:
    """The step at which each line or group is averaged, of each image: ``[B, T]``."""
    assert isinstance(case.degradation, LineAverage)
    is_shuffled = case.noise.numel() > 0
    return case.noise if is_shuffled else case.degradation.step_of_line.expand(len(case.x_0), -1)


def lines_of(name: str, x: Tensor, group_size: int) -> Tensor:
    """``[B, T, pixels]`` of images ``[B, C, H, W]``: all that a line or group is made of."""
    by_line = x.movedim(3 if name.startswith("column") else 2, 1)
    return by_line.unflatten(1, (-1, group_size)).flatten(2)


class Always(nn.Module):
    """A network that knows the answer."""

    def __init__(self, x_0: Tensor) -> None:
        super().__init__()
        self.x_0 = x_0

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return self.x_0


class Wild(nn.Module):
    """A network that has learnt nothing: random weights, far off at every step."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        draws = Generator().manual_seed(0)
        self.kernel = torch.randn(channels, channels, 3, 3, generator=draws, dtype=torch.float64)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        clock = t.double().sin().view(-1, 1, 1, 1)
        return nn.functional.conv2d(x_t, self.kernel, padding=1).add(clock).tanh() / 2


def restorer_of(network: nn.Module, degradation: Degradation) -> Restorer:
    return Restorer(network, degradation, Clean(), RANGE)


@pytest.mark.parametrize("sampler", [Naive, Cold])
@every_name
def test_a_perfect_restorer_leads_back_bit_for_bit(name: str, sampler: type[Sampler]) -> None:
    for case in cases(name):
        restorer = restorer_of(Always(case.x_0), case.degradation)
        for start in sorted({case.last, max(1, case.last // 2)}):
            few = sampler(min(start, MOST_STEPS))
            x_0 = few.sample(restorer, case.at(start), case.noise, start=start)
            assert torch.equal(x_0, case.x_0)


@every_average
@pytest.mark.parametrize("group_size", [1, 4])
def test_algorithm_2_with_averaging_keeps_the_means_and_changes_a_line_a_step(
    name: str, group_size: int
) -> None:
    for case in cases(name, group_size=group_size):
        restorer = restorer_of(Wild(case.x_0.shape[1]), case.degradation)
        states = list(Cold().trajectory(restorer, case.at(case.last), case.noise))
        means = lines_of(name, case.at(case.last), group_size)
        for before, after in pairwise(states):
            now_means = lines_of(name, case.at(case.last, after.x_t), group_size)
            torch.testing.assert_close(now_means, means, rtol=0, atol=1e-12)
            change = lines_of(name, after.x_t - before.x_t, group_size).abs().amax(2)
            assert torch.equal(change > 1e-10, step_of_each_line(case) == before.t)


# Bridges and what fades into noise or another image are linear too, but nothing inverts them yet.
LINEAR = [*LINES, "blur", "blur_linear", "blur_exponential", "decolour", "fade", "inpaint",
          "inpaint_random", "pixelate", "zoom"]  # fmt: skip


@every_name
def test_what_is_linear_has_the_pseudo_inverse_of_moore_and_penrose(name: str) -> None:
    """A A^+ A = A, and A^+ A and A A^+ are orthogonal projections: up to what counts as lost."""
    assert all(case.degradation.is_linear == (name in LINEAR) for case in cases(name))
    for case in cases(name) if name in LINEAR else []:
        x, z = case.x_0, case.x_0.flip(0, 2)
        for t in spread_steps(case):
            zero = case.at(t, torch.zeros_like(x))

            def a(x: Tensor, t: int = t, case: Case = case, zero: Tensor = zero) -> Tensor:
                return case.at(t, x) - zero

            def a_inverse(y: Tensor, t: int = t, case: Case = case) -> Tensor:
                return case.degradation.pseudo_inverse(y, t, case.noise)

            torch.testing.assert_close(a(x + 2 * z), a(x) + 2 * a(z), rtol=0, atol=1e-9)
            of_x, of_z = a_inverse(a(x)), a_inverse(a(z))
            torch.testing.assert_close(a(of_x), a(x), rtol=0, atol=SMALLEST * x.norm().item())
            torch.testing.assert_close(a_inverse(a(of_x)), of_x, rtol=0, atol=1e-6)
            back_x, back_z = a(a_inverse(x)), a(a_inverse(z))
            pairs = ((of_x * z, x * of_z), (back_x * z, x * back_z))
            for one, other in pairs:
                torch.testing.assert_close(one.sum(), other.sum(), rtol=1e-6, atol=1e-6)
            if case.degradation.is_projection:
                torch.testing.assert_close(a_inverse(x), a(x), rtol=0, atol=1e-6)


@every_name
def test_a_mask_changes_each_pixel_by_itself(name: str) -> None:
    for case in cases(name):
        assert case.degradation.is_mask == (name in ("inpaint", "inpaint_random"))
        if case.degradation.is_mask:
            other = case.x_0.clone()
            other[..., 3, 5] += 1
            changed = case.at(case.last // 2, other) != case.at(case.last // 2)
            changed[..., 3, 5] = False
            assert not changed.any()


@every_name
def test_dps_has_a_gradient_through_it(name: str) -> None:
    """From images and noise that were made without gradients, as when a run is scored."""
    for case in cases(name):
        with torch.inference_mode():
            y = case.at(case.last // 2).float()
            noise = case.noise + 0
        if not case.degradation.noise_is_known or case.degradation.takes_partners:
            continue
        restorer = Restorer(Halved(), case.degradation, Clean(), RANGE)
        hot = Restorer(Halved(), Gaussian(cosine(10)), Clean(), RANGE)
        rivals = [Rival(hot, Normal(case.x_0.shape[1:]), DPS(3, step_size=size)) for size in (1, 2)]
        found = [
            rival.restored(restorer, y, case.last // 2, noise, Generator().manual_seed(0), None)
            for rival in rivals
        ]
        assert all(x_0.isfinite().all() for x_0 in found)
        assert not torch.equal(*found)

"""The whole space of configurations: each trains a step, or is one clear line and exit code 2."""

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from space_support import (
    CHOICES,
    RISKY,
    attempt,
    complaint,
    foundations,
    keys,
    words_of,
)

from thaw.data.cifar import CIFAR10
from thaw.data.paired_folder import PairedFolder
from thaw.data.photographs import Photographs
from thaw.data.sources import IdxSource, ImageSet, MNIST5k

NUM_VALUES, NUM_PAIRS = 1000, 200
# Wrong for most keys, right for some.
NASTY = ["-1", "0", "1", "2", "3", "-0.5", "0.5", "1.5", "1e18", "-1e18", "1e400", "nan", "inf",
         "-inf", "1e-300", "0x10", "1_000", f"{2**63}",
         f"{10**30}", "null", "true", "false", "abc", "''", "' '", "'1'", "[]", "[1]", "[1,2]",
         "[1,-1]", "[0,1e400]", "[abc,null]", "[[1],[2]]", "{}", "{a:1}", "ünïcödé", "'a b, c=d'",
         '"it\'s"', "'../..'", "${nowhere}", "${seed}", "${model}", "???"]  # fmt: skip
# Right for some keys.
WORDS = ["relu", "row", "random", "inside_out", "outside_in", "shuffled", "mask", "large", "linear",
         "exponential", "reflect", "nearest", "middle", "norm", "value", "cpu", "gpu", "warn",
         "last", "every", "simple", "auto", "64-true", "bf16-mixed", "16-true", "00:00:01:00",
         "mnist", "1", "2", "3", "4", "7", "10", "100", "0.1", "0.9", "[0,1]", "[4,4]",
         "[last]"]  # fmt: skip
TYPOS = ["{key}x=1", "+{key}x=1", "~{key}", "++{key}.sub=1", "{key}", "nonsense=1",
         "{group}=nonesuch", "+{group}=nonesuch", "{group}=null", "{group}=[]",
         "{group}={{a:1}}"]  # fmt: skip
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run directory; each data set is of a few random images, and there is no network."""
    folder = tmp_path_factory.mktemp("space") / "some" / "where"
    for name in ("run", "here"):
        (folder / name).mkdir(parents=True)
    paint(folder / "pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THAW_DATA", str(folder / "pictures"))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("TORCH_HOME", str(folder))
        for proxy in ("http_proxy", "https_proxy"):
            patch.setenv(proxy, "http://127.0.0.1:9")
        patch.chdir(folder / "here")
        for source in (IdxSource, CIFAR10, MNIST5k, PairedFolder, Photographs):
            patch.setattr(source, "load", load)
        logging.disable(logging.CRITICAL)
        yield folder / "run"
        logging.disable(logging.NOTSET)


def paint(folder: Path) -> None:
    draw = np.random.default_rng(0)
    for number in range(32):
        split = "test" if number % 4 == 0 else "train"
        path = folder / split / "ab"[number // 4 % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (32, 32, 3), np.uint8)).save(path)


def load(source: Any) -> tuple[ImageSet, ImageSet]:
    """24 training and 8 test images of noise, whatever the source."""
    draw = torch.Generator().manual_seed(0)
    channels, *sides = source.image_shape
    shape = (2 * channels if source.has_partners else channels, *sides)
    dtype = torch.uint8 if source.value_range is None else torch.float32
    train, test = (
        ImageSet(
            torch.randint(0, 256, (size, *shape), generator=draw, dtype=torch.uint8).to(dtype),
            torch.arange(size) % source.num_classes,
        )
        for size in (24, 8)
    )
    return train, test


@st.composite
def changed(draw: st.DrawFn) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A foundation, and up to three things in it set otherwise."""
    foundation = draw(st.sampled_from(foundations()))
    values = keys(foundation)
    return foundation, tuple(draw(st.lists(change(values), max_size=3)))


@st.composite
def change(draw: st.DrawFn, values: dict[str, Any]) -> str:
    """One argument of the command line, more or less sane."""
    key = draw(st.sampled_from(sorted(values)))
    kind = draw(st.sampled_from(["sane"] * 4 + ["nasty"] * 4 + ["word", "number", "text", "typo"]))
    if kind == "sane":
        return f"{key}={draw(sane(values[key]))}"
    if kind == "nasty":
        return f"{key}={draw(st.sampled_from(NASTY))}"
    if kind == "word":
        return f"{key}={draw(st.sampled_from(WORDS))}"
    if kind == "number":
        return f"{key}={draw(st.integers(-1000, 1000) | st.floats())}"
    if kind == "text":
        return f"{key}={draw(TEXT)}"
    group = draw(st.sampled_from(sorted(CHOICES)))
    return draw(st.sampled_from(TYPOS)).format(key=key, group=group)


def sane(value: Any) -> st.SearchStrategy[str]:
    """A value of the same kind, often one that is allowed."""
    if isinstance(value, bool):
        return st.sampled_from(["true", "false"])
    if isinstance(value, int):
        return st.integers(0, 2 * value + 2).map(str)
    if isinstance(value, float):
        return st.floats(*sorted((0.0, 2 * value + 1e-3))).map(str)
    return st.sampled_from(WORDS)


class Ends:
    """How the configurations of a test ended, counted."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.counts: Counter[str] = Counter()

    def check(self, foundation: tuple[str, ...], changes: tuple[str, ...] = ()) -> None:
        found = attempt(foundation, changes, self.run_dir)
        self.counts[found.end] += 1
        problem = complaint(found, words_of(foundation, changes))
        assert problem is None, f"{problem}: {found.line}"

    @property
    def total(self) -> int:
        return self.counts.total()


def settled(num_examples: int, derandomize: bool = True) -> settings:
    return settings(
        max_examples=num_examples,
        derandomize=derandomize,
        deadline=None,
        database=None,
        # Shrinking a configuration takes minutes; the error names it.
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def test_every_choice_is_in_a_foundation() -> None:
    chosen = {override for foundation in foundations() for override in foundation}
    assert {f"{group}={name}" for group in CHOICES for name in CHOICES[group]} <= chosen


@pytest.mark.slow
def test_any_values_train_a_step_or_are_refused(run_dir: Path) -> None:
    ends = Ends(run_dir)

    @settled(NUM_VALUES, derandomize=False)
    @given(changed())
    def each(drawn: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
        ends.check(*drawn)

    each()
    print(f"{ends.total} configurations: {dict(ends.counts)}")
    assert ends.total >= NUM_VALUES
    assert ends.counts["trained"] >= NUM_VALUES / 10
    assert ends.counts["refused"] >= NUM_VALUES / 4


@pytest.mark.slow
def test_any_choices_train_a_step_or_are_refused(run_dir: Path) -> None:
    ends = Ends(run_dir)
    grounds = st.sampled_from(CHOICES["degradation"])
    groups = st.lists(st.sampled_from(RISKY), min_size=2, max_size=3, unique=True)

    @settled(NUM_PAIRS)
    @given(grounds, groups, st.data())
    def each(degradation: str, groups: list[str], data: st.DataObject) -> None:
        chosen = [f"{group}={data.draw(st.sampled_from(CHOICES[group]))}" for group in groups]
        ends.check(("data=mnist_5k", *chosen, f"degradation={degradation}"))

    each()
    print(f"{ends.total} combinations: {dict(ends.counts)}")
    assert ends.total >= NUM_PAIRS
    assert ends.counts["trained"]
    assert ends.counts["refused"]


# Each pair is at odds, and the line has this word of the way out.
MISFITS = [
    ("degradation=column_random sampler=ddim", "sampler=cold"),
    ("degradation=blur sampler=ancestral", "sampler=cold"),
    ("degradation=column_noise sampler=heun", "sampler=ddim"),
    ("degradation=row_random sampler=dpmsolver", "sampler=cold"),
    ("degradation=zoom prediction=noise", "prediction=clean"),
    ("degradation=snow prediction=velocity", "prediction=clean"),
    ("degradation=inpaint prior=normal", "prior=empirical"),
    ("degradation=gaussian schedule=cosine prior=kde", "use the normal prior"),
    ("degradation=inpaint_random prior=gmm", "use the empirical prior"),
    ("schedule.rescale=true schedule.timesteps=20", "timesteps"),
    ("degradation=column_random sampler.num_steps=29", "28"),
    ("degradation=fade objective/weighting=p2", "objective/weighting=uniform"),
    ("degradation=column_noise objective/weighting=min_snr", "objective/weighting=uniform"),
    ("degradation=pixelate sampler/grid=leading", "sampler/grid=trailing"),
    ("schedule=edm prediction=edm sampler/grid=leading", "sampler/grid=trailing"),
    ("degradation=decolour data=mnist_5k", "images in colour"),
    ("degradation=paired data=mnist_5k", "use data=paired_folder"),
    ("data=photographs metrics=mnist", "metrics=none"),
    ("schedule.zero_terminal_snr=true prediction=noise", "predict the velocity"),
    ("schedule=flow", "predict the velocity, the flow"),
    ("schedule=flow prediction=edm", "predict the flow"),
    ("schedule=edm prediction=flow", "prediction=edm"),
    ("degradation=animorph schedule=edm", "schedule must mix"),
    ("degradation=heat prediction=noise", "predict the velocity"),
    ("degradation=heat prior=normal", "use the empirical prior"),
    ("degradation=row_noise prior=normal", "use the empirical prior"),
    ("degradation=blur_noise schedule=cosine prior=gmm", "use the normal prior"),
    ("degradation=blur_noise schedule=cosine sampler=heun", "sampler=ddim"),
    ("degradation=blur sampler=dissipation", "sampler=cold"),
    ("degradation=row_noise sampler=dissipation", "sampler=ddim"),
    ("degradation=heat degradation.min_blur=30", "degradation.min_blur must be at most"),
    ("degradation=column_noise prediction=edm", "prediction=velocity"),
    ("degradation=column_noise objective/timesteps=log_normal", "objective/timesteps=uniform"),
    ("schedule=edm prediction=edm schedule.sigma_min=90", "schedule.sigma_min must be below"),
    ("degradation=column_random degradation.group_size=5", "1, 2, 4, 7, 14, 28"),
    ("sampler.guidance=2", "num_classes"),
    ("model.num_classes=10 model.label_dropout=0 sampler.guidance=2", "label_dropout"),
    ("model.num_classes=7", "model.num_classes=10"),
    ("data.batch_size=25", "data.batch_size"),
    ("data.val_size=24", "data.val_size"),
    ("trainer.max_epochs=-1 lr_scheduler=cosine", "trainer.max_epochs"),
    ("optimizer=sgd optimizer.nesterov=true optimizer.momentum=0", "momentum"),
    ("degradation=zoom degradation.crop_size=28", "degradation.crop_size"),
    ("model=unet model.width=12", "multiple of 8"),
    ("model=unet model.width=4096 model.multipliers=[64]", "choose a smaller model"),
    ("degradation=column_random prior.num_images=1000000000", "prior"),
    ("degradation=blur degradation.num_steps=1000000000000", "degradation"),
]


def test_what_does_not_fit_is_refused_with_the_way_out(run_dir: Path) -> None:
    for text, word in MISFITS:
        parts = text.split() if "data=" in text else ["data=mnist_5k", *text.split()]
        foundation = [part for part in parts if part.split("=")[0] in CHOICES]
        changes = [part for part in parts if part not in foundation]
        found = attempt(tuple(foundation), changes, run_dir)
        assert found.code == 2, text
        assert word in found.line, (text, found.line)
        assert complaint(found, [word]) is None, found.line

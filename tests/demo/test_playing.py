"""The page's work without a browser: the images that Python gives, step by step, in any thread."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from commands_support import ROOT, assert_refused
from omegaconf import open_dict
from torch import Tensor

import thaw
from thaw.demo.playing import OWN, Playground, Shown
from thaw.diffusion import DDIM
from thaw.training.loading import load_run

ZOO = ROOT / "zoo"


def playground(name: str) -> Playground:
    run = load_run(ZOO / name)
    return Playground(run, {OWN: run.experiment.sampler, "ddim": DDIM(4)})


@pytest.fixture(scope="module")
def cold() -> Playground:
    run = load_run(ZOO / "best_cold")
    return Playground(run, {OWN: run.experiment.sampler})


@pytest.fixture(scope="module")
def told() -> Playground:
    """A class-conditional model."""
    return playground("best_conditional")


@pytest.fixture(scope="module")
def image() -> Tensor:
    return thaw.load("zoo/best_cold").sample(1, seed=5)


def in_turn(states: Iterator[Shown]) -> list[Shown]:
    """All states, each computed in another thread, as a server may."""
    found: list[Shown] = []
    while True:
        with ThreadPoolExecutor(1) as thread:
            state = thread.submit(next, states, None).result()
        if state is None:
            return found
        assert not torch.is_inference_mode_enabled()
        found.append(state)


def test_an_image_is_degraded_and_restored_as_from_python(cold: Playground, image: Tensor) -> None:
    states = in_turn(cold.restored(image, 14))
    stages = thaw.load("zoo/best_cold").restore(image, t=14)
    words = {"degraded": "t = 14", "direct": "direct prediction"}
    words |= {f"algorithm_{k}": f"Algorithm {k}" for k in (1, 2)}
    shown = {words.get(name, name): images for name, images in stages.items()}
    assert list(states[-1].pictures) == list(shown)
    assert all(torch.equal(states[-1].pictures[name], shown[name]) for name in shown)
    assert torch.equal(cold.degraded(image, 14), stages["degraded"])
    assert torch.equal(cold.degraded(image, 0), image)
    shares = [state.share for state in states]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert len(set(shares)) > 10


def test_images_are_generated_as_from_python(told: Playground) -> None:
    states = in_turn(told.generated(3, "ddim", 5, seed=2, label=7, guidance=2.0))
    run = thaw.load("zoo/best_conditional")
    same = run.sample(3, sampler="ddim", num_steps=5, seed=2, digit=7, guidance=2.0)
    assert torch.equal(states[-1].pictures["generated"], same)
    assert [state.share for state in states] == [0, 0.2, 0.4, 0.6, 0.8, 1, 1]
    assert states[-1].words == "DDIM, 5 steps, guidance 2, seed 2"
    (*_, last) = told.generated(3, "ddim", 5, seed=2)
    assert torch.equal(last.pictures["generated"], run.sample(3, sampler=DDIM(5), seed=2))


def test_work_that_nobody_reads_is_not_done(told: Playground) -> None:
    before = told.restorer.chunked.calls
    states = told.generated(1, "ddim", 100)
    for _ in range(4):
        next(states)
    states.close()  # type: ignore[attr-defined]
    assert told.restorer.chunked.calls == before + 3


def test_classes_are_told_or_not(told: Playground, cold: Playground, image: Tensor) -> None:
    assert told.classes == [(str(k), k) for k in range(10)]
    assert not cold.classes
    run = thaw.load("zoo/best_conditional")
    (*_, with_class) = told.restored(image, 900, label=3)
    (*_, without) = told.restored(image, 900)
    for state, settings in ((with_class, {"digit": 3}), (without, {"guidance": 0.0})):
        found = run.restore(image, t=900, **settings)["sampled"]
        assert torch.equal(list(state.pictures.values())[-1], found)


def test_what_is_refused_is_said_before_any_work(told: Playground, image: Tensor) -> None:
    with pytest.raises(ValueError, match="at t = 0 the image is clean"):
        told.restored(image, 0)
    with pytest.raises(ValueError, match="t must be"):
        told.restored(image, 1001)
    with pytest.raises(ValueError, match="num_images must be"):
        told.generated(1000)
    with pytest.raises(ValueError, match="1001 is more than the 1000 steps"):
        told.generated(1, num_steps=1001)
    with pytest.raises(ValueError, match="digit"):
        told.generated(1, label=10)


def test_without_gradio_one_line_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thaw.commands import demo
    from thaw.commands.composing import composed

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    cfg = composed("demo", ["run=zoo/best_cold"])
    with open_dict(cfg):
        del cfg["hydra"]
    with pytest.raises(ValueError, match=r"gradio is not installed: pip install .*\[demo\]"):
        demo.main(cfg)


def test_a_sweep_is_refused(tmp_path: Path, fork_command: Callable[..., Any]) -> None:
    refused = fork_command("demo", "-m", "run=zoo/best_cold,zoo/best_ddpm", cwd=tmp_path)
    assert_refused(refused, "no sweep")

"""The guide's worked examples are real: its files are taken from the page and run."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from commands_support import LEAST, assert_refused
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torch import Generator, nn

import thaw.diffusion.degradations
from thaw.commands import config
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.generation import generate
from thaw.diffusion.predictions import Clean
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.cold import Cold, Naive
from thaw.training.experiment import build

Run = Callable[..., subprocess.CompletedProcess[str]]
REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = (REPOSITORY / "docs" / "adding_a_degradation.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^\*\*`([^`]+)`\*\*\n\n```\w+\n(.*?)^```", PAGE, re.M | re.S))
COMMANDS = re.findall(r"^python (\w+)\.py (.*)$", PAGE, re.M)
# Those of parts within the tree.
INSIDE = [arguments for _, arguments in COMMANDS if arguments.startswith("degradation=")]
NAMES = ("dim", "dim_to_grey")


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's files in a folder of their own, which Python and this test's Hydra see."""
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    package = thaw.diffusion.degradations
    folder = tmp_path / "src" / "thaw" / "diffusion" / "degradations"
    monkeypatch.setattr(package, "__path__", [str(folder), *package.__path__])
    yield tmp_path
    for name in NAMES:
        sys.modules.pop(f"{package.__name__}.{name}", None)


def composed(files: Path, *overrides: str) -> DictConfig:
    config.register()
    quick = ["metrics=none", "logger=none", f"hydra.searchpath=[file://{files / 'conf'}]"]
    with initialize_config_dir(str(REPOSITORY / "conf"), version_base="1.3"):
        return compose("train", overrides=[*overrides, *quick])


def test_the_page_has_its_files_and_commands() -> None:
    source, conf = "src/thaw/diffusion/degradations", "conf/degradation"
    assert set(FILES) == {
        *(f"{source}/{name}.py" for name in NAMES),
        *(f"{conf}/{name}.yaml" for name in NAMES),
        "tests/diffusion/test_dim.py",
        "mine/veil.py",
        "mine/conf/degradation/veil.yaml",
    }
    assert (len(INSIDE), len(COMMANDS)) == (2, 7)


@pytest.mark.parametrize("command", INSIDE)
def test_each_command_builds_trains_and_samples(files: Path, command: str) -> None:
    experiment = build(composed(files, *shlex.split(command)), provenance={})
    module = experiment.module
    images = torch.randint(0, 256, (4, 1, 28, 28), dtype=torch.uint8)
    module.prior.fit(images, module.restorer.degradation)
    optimizer = module.optimizer(module.restorer.network.parameters())
    x_0 = experiment.data.pixel_range.from_uint8(images)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = module.objective(module.restorer, x_0, Generator().manual_seed(0))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    (samples,) = generate(module.restorer, experiment.sampler, module.prior, 2, 2, seed=0)
    assert samples.shape == (2, 1, 28, 28)
    assert samples.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_keep_the_contract(files: Path, name: str) -> None:
    experiment = build(composed(files, f"degradation={name}", "data=mnist_5k"), provenance={})
    degradation: Degradation = experiment.restorer.degradation
    x_0, last = torch.rand(3, 1, 28, 28) - 0.5, degradation.num_steps
    noise = degradation.draw_noise(x_0, Generator().manual_seed(0))
    x_t = degradation(x_0, torch.tensor([0, 1, last]), noise)
    assert torch.equal(x_t[0], x_0[0])
    # A random grey is a ceiling over what is brighter; the other one is black at last.
    level = noise[2].item() if noise.numel() else -0.5
    torch.testing.assert_close(x_t[2], x_0[2].clamp(max=level))
    restorer = Restorer(Always(x_0), degradation, Clean(), experiment.data.pixel_range)
    x_T = degradation(x_0, torch.full((3,), last), noise)
    for sampler in (Cold(), Naive()):
        assert torch.equal(sampler.sample(restorer, x_T, noise), x_0)


class Always(nn.Module):
    """A network that knows the answer."""

    def __init__(self, x_0: torch.Tensor) -> None:
        super().__init__()
        self.x_0 = x_0

    def forward(self, x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.x_0


def test_the_pages_own_test_passes() -> None:
    namespace: dict[str, Any] = {}
    exec(FILES["tests/diffusion/test_dim.py"], namespace)
    tests = [value for name, value in namespace.items() if name.startswith("test_")]
    assert len(tests) == 1
    tests[0]()


def test_what_does_not_fit_is_refused_as_the_page_says(files: Path) -> None:
    cfg = composed(files, "degradation=dim", "data=mnist_5k", "sampler=ddim")
    with pytest.raises(ValueError, match="Dim; choose sampler=cold or"):
        build(cfg, provenance={})


def test_a_bad_number_of_steps_is_refused(files: Path) -> None:
    cfg = composed(files, "degradation=dim", "data=mnist_5k", "degradation.num_steps=0")
    with pytest.raises(ValueError, match="degradation.num_steps must be a whole number"):
        build(cfg, provenance={})


@pytest.fixture
def mine(files: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's folder outside of the tree, where Python finds its module."""
    monkeypatch.syspath_prepend(str(files / "mine"))
    yield files / "mine"
    sys.modules.pop("veil", None)


def test_a_degradation_outside_of_the_tree_keeps_the_contract_and_follows_the_seed(
    mine: Path,
) -> None:
    veils = []
    for overrides in (["seed=1"], ["seed=1"], ["seed=2"], ["seed=1", "degradation.seed=2"]):
        choice = ["degradation=veil", "data=mnist_5k", *overrides]
        degradation = build(composed(mine, *choice), provenance={}).restorer.degradation
        veils.append(degradation.veil)
    assert torch.equal(veils[0], veils[1])
    assert not torch.equal(veils[0], veils[2])
    assert torch.equal(veils[2], veils[3])
    x_0, t = torch.rand(3, 1, 28, 28) - 0.5, torch.tensor([0, 10, 20])
    x_t = degradation(x_0, t, degradation.draw_noise(x_0))
    assert torch.equal(x_t[0], x_0[0])
    torch.testing.assert_close(x_t[1], (x_0[1] + veils[3]) / 2)
    torch.testing.assert_close(x_t[2], veils[3])


def run_well(run: Run, files: Path, command: str, arguments: str, *more: str) -> None:
    words = shlex.split(arguments.replace("outputs/DATE/RUN", "run"))
    finished = run(command, *words, *more, cwd=files, PYTHONPATH="mine")
    assert finished.returncode == 0, finished.stderr


TRAIN, RESUME, _, SAMPLE, _ = (arguments for _, arguments in COMMANDS[2:])


def test_a_run_of_a_degradation_outside_of_the_tree_is_sampled_and_resumed_as_the_page_says(
    files: Path, fork_command: Run
) -> None:
    run_well(fork_command, files, "train", TRAIN, *LEAST[1:], "hydra.run.dir=run")
    run_well(fork_command, files, "sample", SAMPLE, "num_samples=2", "animation=null")
    assert (files / "run" / "generated" / "seed_0" / "grid.png").is_file()
    finished = fork_command("train", "resume=run", cwd=files, PYTHONPATH="mine")
    assert_refused(finished, f"run was started with --config-dir={files}/mine/conf: give it too")
    run_well(fork_command, files, "train", RESUME, "trainer.max_epochs=2")
    assert "trained to epoch 2" in (files / "run" / "train.log").read_text()

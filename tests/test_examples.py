"""The examples learn, and their thirty lines are the library's own theory."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from commands_support import ROOT
from torch import Tensor

from thaw.data.sources import MNIST5k
from thaw.diffusion import Ancestral, Clean, Cold, Degradation, Noise, PixelRange, Restorer

PIXELS = PixelRange(-1, 1)


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def images() -> Tensor:
    return PIXELS.from_uint8(MNIST5k().load()[0].images[:500])


def error(module: ModuleType, network: torch.nn.Module, x_0: Tensor) -> float:
    """The mean squared error of x_0_hat half way, from the same noise each time."""
    D: Degradation = module.D
    t = torch.full((len(x_0),), module.T // 2)
    noise = D.draw_noise(x_0, torch.Generator().manual_seed(0))
    prediction = Noise() if module.__name__ == "ddpm" else Clean()
    with torch.no_grad():
        x_0_hat = Restorer(network, D, prediction, PIXELS)(D(x_0, t, noise), t)
    return (x_0_hat.clamp(*PIXELS) - x_0).square().mean().item()


@pytest.mark.parametrize("name", ["ddpm", "cold"])
def test_it_learns(name: str, images: Tensor) -> None:
    module = example(name)
    untrained = error(module, module.train(images, 0), images[:100])
    assert error(module, module.train(images, 40), images[:100]) < untrained / 2


def test_the_steps_of_ddpm_are_ancestral_sampling(images: Tensor) -> None:
    module = example("ddpm")
    network = module.train(images, 3)
    x_T = torch.randn(4, *module.SHAPE)
    torch.manual_seed(1)
    found = module.sample(network, x_T)
    torch.manual_seed(1)
    restorer = Restorer(network, module.D, Noise(), PIXELS)
    with torch.no_grad():
        expected = Ancestral().sample(restorer, x_T, x_T)
    assert torch.allclose(found, expected, atol=1e-3)


def test_the_steps_of_cold_are_algorithm_2(images: Tensor) -> None:
    module = example("cold")
    network = module.train(images, 3)
    x_T = module.D(images[:4], torch.full((4,), module.T), module.none)
    found = module.sample(network, x_T)
    with torch.no_grad():
        restorer = Restorer(network, module.D, Clean(), PIXELS)
        expected = Cold().sample(restorer, x_T, module.none)
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["ddpm", "cold"])
def test_it_writes_its_picture(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole file, with three steps in place of thousands."""
    monkeypatch.chdir(tmp_path)
    path = ROOT / "examples" / f"{name}.py"
    text = path.read_text().replace("num_steps=3000", "num_steps=3")
    assert text != path.read_text()
    exec(compile(text, str(path), "exec"), {"__name__": "__main__"})
    assert (tmp_path / f"{name}.png").stat().st_size > 1000


def test_a_newcomer_reads_thirty_lines() -> None:
    """Without the docstring, imports and blank lines."""
    for path in (ROOT / "examples").glob("*.py"):
        code = path.read_text().split('"""', 2)[2].splitlines()
        lines = [line for line in code if line.strip() and not line.startswith(("import", "from"))]
        assert len(lines) <= 36, path

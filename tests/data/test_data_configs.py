"""Every file in conf/data: it builds what it names, and takes what a user may set."""

import inspect
from pathlib import Path

import pytest
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from thaw.data.module import ImageDataModule

FOLDER = Path(__file__).resolve().parents[2] / "conf" / "data"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def compose(name: str, *overrides: str) -> DictConfig:
    config = OmegaConf.create({"seed": 5, "data": OmegaConf.load(FOLDER / f"{name}.yaml")})
    OmegaConf.set_struct(config, True)
    for override in overrides:
        key, value = override.split("=", 1)
        OmegaConf.update(config, key, OmegaConf.create(f"v: {value}").v)
    return config.data


def test_the_files_are_the_data_sets() -> None:
    assert NAMES == ["fashion_mnist", "kmnist", "mnist", "mnist_5k"]


@pytest.mark.parametrize("name", NAMES)
def test_it_builds_a_data_module_of_its_own_name(name: str) -> None:
    data = instantiate(compose(name))
    assert isinstance(data, ImageDataModule)
    assert data.name == name
    assert data.image_shape == (1, 28, 28)
    assert data.num_classes == 10
    assert (data.batch_size, data.val_size, data.seed) == (128, 0, 5)
    assert tuple(data.pixel_range) == (-0.5, 0.5)


@pytest.mark.parametrize("name", NAMES)
def test_a_user_can_set_every_option_at_the_top(name: str) -> None:
    overrides = ("batch_size=32", "val_size=7", "pixel_range=[0,1]", "seed=9")
    data = instantiate(compose(name, *(f"data.{override}" for override in overrides)))
    assert (data.batch_size, data.val_size, data.seed) == (32, 7, 9)
    assert tuple(data.pixel_range) == (0, 1)


@pytest.mark.parametrize("name", NAMES)
def test_its_keys_are_the_parameters_of_what_it_builds(name: str) -> None:
    config = compose(name)
    keys = {str(key) for key in config if key != "_target_"}
    assert keys == set(inspect.signature(get_object(config._target_)).parameters)


def test_the_root_comes_from_the_environment_else_from_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("THAW_DATA", raising=False)
    for name, folder in (
        ("mnist", "MNIST"),
        ("fashion_mnist", "FashionMNIST"),
        ("kmnist", "KMNIST"),
    ):
        assert instantiate(compose(name)).source.folder == tmp_path / "data" / folder / "raw"
    monkeypatch.setenv("THAW_DATA", str(tmp_path / "mine"))
    assert instantiate(compose("mnist")).source.folder == tmp_path / "mine" / "MNIST" / "raw"
    given = instantiate(compose("mnist", f"data.root={tmp_path / 'given'}"))
    assert given.source.folder == tmp_path / "given" / "MNIST" / "raw"

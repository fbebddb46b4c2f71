"""Every file in conf/data: what it builds, what a user may set, the metrics that it brings."""

import copy
from functools import cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig

from thaw.commands import config
from thaw.data.module import ImageDataModule

CONF = Path(__file__).resolve().parents[2] / "conf"
NAMES = sorted(path.stem for path in (CONF / "data").glob("*.yaml"))
SHAPES = {"cifar10": (3, 32, 32), "image_folder": (3, 32, 32), "paired_folder": (1, 32, 32),
          "photographs": (3, 28, 28)}  # fmt: skip
CLASSES = {"paired_folder": 1, "photographs": 2}


@cache
def composed(*overrides: str, command: str = "train") -> DictConfig:
    """As the command composes it; the same object for the same arguments, since it takes long."""
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(command, overrides=["seed=5", *overrides])


def data_config(name: str, **changes: object) -> DictConfig:
    """The node ``data`` of ``data=NAME``, with keys that it has set otherwise."""
    cfg = copy.deepcopy(composed(f"data={name}"))
    for key, value in changes.items():
        cfg.data[key] = value  # refuses a key that is not there
    return cfg.data


@pytest.mark.parametrize("name", NAMES)
def test_it_builds_a_data_module_of_its_own_name(name: str) -> None:
    data = instantiate(data_config(name))
    assert isinstance(data, ImageDataModule)
    assert data.name == name
    assert data.image_shape == SHAPES.get(name, (1, 28, 28))
    assert (data.batch_size, data.val_size, data.seed, data.augment) == (128, 0, 5, None)
    assert tuple(data.pixel_range) == (-0.5, 0.5)
    if name != "image_folder":  # its classes are folders
        assert data.num_classes == CLASSES.get(name, 10)


def test_metrics_chosen_by_name_come_before_those_of_the_data() -> None:
    assert composed("data=cifar10", "metrics=none").metrics.suite is None
    own = composed("metrics=mnist", "metrics.encoder=own.safetensors", "data=fashion_mnist")
    assert own.metrics.suite.encoder.name_or_path == "own.safetensors"
    changed = composed("data=cifar10", "metrics.num_samples=7", "degradation=row_random").metrics
    assert changed.num_samples == 7
    assert changed.sampler._target_.endswith("Cold")  # the degradation's, added to the data's


def test_an_experiment_can_choose_all_three(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /metrics: none\n"
        "  - override /data: kmnist\n  - override /data/augment: affine\n"
    )
    cfg = composed(f"hydra.searchpath=[file://{tmp_path}]", "experiment=mine")
    assert cfg.metrics.suite is None
    assert cfg.data._target_.endswith("KMNIST")
    assert cfg.data.augment._target_.endswith("RandomAffine")


def test_an_encoder_is_trained_without_the_metrics_of_the_data() -> None:
    cfg = composed("data=cifar10", command="train_encoder")
    assert "metrics" not in cfg
    assert cfg.data._target_.endswith("CIFAR10")


def test_the_root_comes_from_the_environment_else_from_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("THAW_DATA", raising=False)
    for name, folder in (
        ("mnist", "MNIST/raw"),
        ("fashion_mnist", "FashionMNIST/raw"),
        ("kmnist", "KMNIST/raw"),
        ("cifar10", "cifar-10-batches-py"),
    ):
        source = instantiate(data_config(name)).source
        assert source.folder == tmp_path / "data" / folder
    monkeypatch.setenv("THAW_DATA", str(tmp_path / "mine"))
    mine = instantiate(data_config("mnist"))
    assert mine.source.folder == tmp_path / "mine" / "MNIST" / "raw"
    given = instantiate(data_config("mnist", root=str(tmp_path / "given")))
    assert given.source.folder == tmp_path / "given" / "MNIST" / "raw"

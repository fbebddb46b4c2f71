"""The YAML files of the metrics group build what they say."""

from pathlib import Path

import pytest
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from thaw.metrics.suite import ScoreSuite

FOLDER = Path(__file__).resolve().parents[2] / "conf" / "metrics"
SHARED_KEYS = {
    "suite",
    "num_samples",
    "every_n_epochs",
    "final_num_samples",
    "num_restored",
    "num_restored_each_epoch",
    "batch_size",
}
OWN_KEYS = {"mnist": {"encoder"}, "inception": {"weights_path"}, "none": set()}


def load(name: str, **changes: object) -> DictConfig:
    group = OmegaConf.load(FOLDER / f"{name}.yaml")
    root = OmegaConf.create({"metrics": group})
    for key, value in changes.items():
        OmegaConf.update(root, f"metrics.{key}", value)
    metrics = root.metrics
    assert isinstance(metrics, DictConfig)
    return metrics


@pytest.mark.parametrize("name", sorted(OWN_KEYS))
def test_keys(name: str) -> None:
    assert set(load(name)) == SHARED_KEYS | OWN_KEYS[name]


def test_mnist_builds_a_suite_that_is_ready() -> None:
    suite = instantiate(load("mnist").suite)
    assert isinstance(suite, ScoreSuite)
    assert suite.name == "mnist-cnn-v1"
    assert suite.reference is not None


def test_keys_of_the_group_reach_the_encoder() -> None:
    with pytest.raises(InstantiationException, match=r"no encoder file elsewhere\.safetensors"):
        instantiate(load("mnist", encoder="elsewhere.safetensors").suite)
    with pytest.raises(InstantiationException, match=r"no file gone\.pth"):
        instantiate(load("inception", weights_path="gone.pth").suite)

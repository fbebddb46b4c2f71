"""The YAML files of the metrics group build what they say."""

from pathlib import Path

import pytest
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

FOLDER = Path(__file__).resolve().parents[2] / "conf" / "metrics"


def load(name: str, **changes: object) -> DictConfig:
    group = OmegaConf.load(FOLDER / f"{name}.yaml")
    root = OmegaConf.create({"metrics": group})
    for key, value in changes.items():
        OmegaConf.update(root, f"metrics.{key}", value)
    metrics = root.metrics
    assert isinstance(metrics, DictConfig)
    return metrics


def test_keys_of_the_group_reach_the_encoder() -> None:
    with pytest.raises(InstantiationException, match=r"no encoder file elsewhere\.safetensors"):
        instantiate(load("mnist", encoder="elsewhere.safetensors").suite)
    with pytest.raises(InstantiationException, match=r"no file gone\.pth"):
        instantiate(load("inception", weights_path="gone.pth").suite)

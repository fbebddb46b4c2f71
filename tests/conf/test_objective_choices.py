"""The nested groups of an objective: composed, refused, and resumed by Lightning."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torch.utils.data import DataLoader, TensorDataset

from thaw.commands import config
from thaw.training.experiment import Experiment, build
from thaw.training.module import DiffusionModule

CONF = Path(__file__).resolve().parents[2] / "conf"
QUICK = ("data=mnist_5k", "metrics=none", "logger=none", "schedule.timesteps=30")


def composed(*overrides: str) -> DictConfig:
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=[*QUICK, *overrides])


def built(*overrides: str) -> Experiment:
    return build(composed(*overrides), provenance={})


def classes(cfg: DictConfig) -> tuple[str, ...]:
    nodes = (cfg.objective, cfg.objective.weighting, cfg.objective.timesteps)
    return tuple(node._target_.rpartition(".")[2] for node in nodes)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ("objective/weighting=min_snr", ("MSE", "MinSNR", "UniformTimesteps")),
        ("objective/weighting=p2 objective=huber", ("Huber", "P2", "UniformTimesteps")),
        (
            "degradation=column_inside_out objective/timesteps=importance",
            ("L1", "Unweighted", "LossSecondMoment"),
        ),
        (
            "experiment=ddpm_gelu_1000 objective/weighting=min_snr objective/timesteps=importance",
            ("MSE", "MinSNR", "LossSecondMoment"),
        ),
    ],
)
def test_choices_compose_with_a_degradations_own(overrides: str, expected: tuple[str, ...]) -> None:
    assert classes(composed(*overrides.split())) == expected


IMPORTANCE = (
    "objective/timesteps=importance",
    "objective.timesteps.history=2",
    "schedule.timesteps=4",
    "model.hidden=[4]",
    "metrics.sampler=null",
)


def trained(folder: Path, max_epochs: int, checkpoint: Path | None = None) -> pl.Trainer:
    """By Lightning, on eight images an epoch in two batches; its last losses are in the module."""
    torch.manual_seed(0)
    images = torch.rand(8, 1, 28, 28) - 0.5
    loader = DataLoader(TensorDataset(images, torch.zeros(8, dtype=torch.int64)), batch_size=4)
    module = DiffusionModule.of(built(*IMPORTANCE).module)
    trainer = pl.Trainer(
        max_epochs=max_epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(module, loader, loader, ckpt_path=checkpoint, weights_only=True)
    return trainer


@pytest.mark.filterwarnings("ignore")
def test_lightning_resumes_with_the_history(tmp_path: Path) -> None:
    undisturbed = trained(tmp_path, 8).lightning_module
    trained(tmp_path, 5).save_checkpoint(tmp_path / "half.ckpt")
    resumed = trained(tmp_path, 8, tmp_path / "half.ckpt").lightning_module
    kept, found = undisturbed.state_dict(), resumed.state_dict()
    assert kept.keys() == found.keys()
    assert all(kept[key].equal(found[key]) for key in kept)
    assert kept["objective.timesteps.counts"].sum() == 64

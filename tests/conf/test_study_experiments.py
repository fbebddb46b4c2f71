"""The study's experiments are what the tables of the two seeds say, number by number."""

import functools
import itertools
import math
import re
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from thaw.commands import config
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.training.nodes import create

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"
IMAGE_SHAPE = (1, 28, 28)


class Hot(NamedTuple):
    """A row of Tables 1.1 and 1.2."""

    timesteps: int
    activation: str
    lr: float


class Cold(NamedTuple):
    """A row of Table 2.1 and the appendix."""

    axis: str
    order: str
    group_size: int
    num_steps: int


HOT = {
    "ddpm_gelu_1000": Hot(1000, "gelu", 2e-4),
    "ddpm_selu_100": Hot(100, "selu", 6e-4),
}
COLD = {
    "columns_random": Cold("column", "random", 1, 28),
    "columns_outside_in": Cold("column", "outside_in", 1, 28),
    "columns_inside_out": Cold("column", "inside_out", 1, 28),
    "columns_by_4_random": Cold("column", "random", 4, 7),
    "rows_random": Cold("row", "random", 1, 28),
    "rows_by_4_random": Cold("row", "random", 4, 7),
}
STUDY = [*HOT, *COLD]
# The order of 28 lines, the first averaged first.
ORDERS = {
    "outside_in": [line for k in range(14) for line in (k, 27 - k)],
    "inside_out": [line for k in range(14) for line in (13 - k, 14 + k)],
}


@functools.cache
def experiment(name: str, *overrides: str) -> DictConfig:
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=[f"experiment={name}", *overrides])


def degradation(cfg: DictConfig) -> Degradation:
    found = create(cfg.degradation, image_shape=IMAGE_SHAPE, pixel_range=None)
    assert isinstance(found, Degradation)
    return found


def target(node: DictConfig) -> str:
    return str(node._target_).rpartition(".")[2]


@pytest.mark.parametrize("name", STUDY)
def test_every_experiment_has_the_study_s_common_settings(name: str) -> None:
    cfg = experiment(name)
    assert list(cfg.model.hidden) == [16, 32, 32, 16]
    assert target(cfg.model) == "CNN"
    assert cfg.data.batch_size == 128
    assert cfg.trainer.max_epochs == 100
    assert target(cfg.objective) == "MSE"
    assert target(cfg.optimizer) == "Adam"
    assert cfg.lr_scheduler is None
    assert cfg.data == experiment(STUDY[0]).data
    assert cfg.trainer.get("max_time") is None
    assert cfg.trainer.get("limit_train_batches") in (None, 1.0)


@pytest.mark.parametrize("name", HOT)
def test_the_gaussian_experiments_are_those_of_tables_1_1_and_1_2(name: str) -> None:
    cfg, row = experiment(name), HOT[name]
    assert (cfg.schedule.timesteps, cfg.model.activation, cfg.optimizer.lr) == row
    assert (target(cfg.prediction), target(cfg.prior)) == ("Noise", "Normal")
    found = degradation(cfg)
    assert isinstance(found, Gaussian)
    assert found.num_steps == row.timesteps
    # Evenly spaced from 1e-4 to 0.02 whatever T is, as in the study.
    betas = torch.linspace(1e-4, 0.02, row.timesteps, dtype=torch.float64)
    expected = math.exp(torch.log1p(-betas).sum())
    assert found.schedule[-1, 0].item() ** 2 == pytest.approx(expected, rel=1e-9)
    assert found.schedule[1, 1].item() ** 2 == pytest.approx(1e-4)


@pytest.mark.parametrize("name", COLD)
def test_the_cold_experiments_are_those_of_table_2_1_and_the_appendix(name: str) -> None:
    cfg, row = experiment(name), COLD[name]
    settings = (cfg.degradation.axis, cfg.degradation.order, cfg.degradation.group_size)
    assert (*settings, degradation(cfg).num_steps) == row
    assert (cfg.model.activation, cfg.optimizer.lr) == ("gelu", 2e-4)
    assert (target(cfg.prediction), target(cfg.sampler)) == ("Clean", "Cold")
    # Its samples and its scores end with a last pass of the network, which others do not.
    assert cfg.sampler.refine is cfg.metrics.sampler.refine is True
    assert target(cfg.metrics.sampler) == "Cold"
    assert experiment("quickstart").sampler.refine is False


@pytest.mark.parametrize("name", COLD)
def test_what_a_step_averages_is_what_the_experiment_is_named_for(name: str) -> None:
    row, found = COLD[name], degradation(experiment(name))
    assert isinstance(found, LineAverage)
    side = 3 if row.axis == "column" else 2
    x_0 = torch.rand(1, *IMAGE_SHAPE)
    states = [found(x_0, torch.tensor([t]), torch.empty(1, 0)) for t in range(row.num_steps + 1)]
    changed = []
    for before, after in itertools.pairwise(states):
        other = 5 - side  # the other side of the image
        lines = (before != after).any(dim=other).flatten().nonzero().flatten().tolist()
        assert len(lines) == row.group_size
        assert lines == list(range(lines[0], lines[0] + row.group_size))
        changed += lines
    assert sorted(changed) == list(range(28))  # every line once
    if row.order == "random":
        assert changed not in ([*range(28)], *ORDERS.values())
    else:
        assert changed == ORDERS[row.order]


def test_the_study_of_the_makefile_is_every_experiment_of_the_seeds() -> None:
    line = re.search(r"^EXPERIMENTS := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert line is not None
    listed = line[1].split(",")
    files = {path.stem for path in (CONF / "experiment").glob("*.yaml")}
    others = {
        "quickstart",
        "degradations",
        "paths",
        *(name for name in files if name.startswith("best_")),
    }
    assert len(set(listed)) == len(listed)
    assert set(listed) == files - others == set(STUDY)

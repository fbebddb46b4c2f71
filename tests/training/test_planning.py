"""The arithmetic of a plan: with known speeds, the number of epochs follows from what is asked."""

from pathlib import Path

import pytest
from commands_support import ROOT, TINY
from hydra import compose, initialize_config_dir

from thaw.commands import config
from thaw.training import planning
from thaw.training.planning import Speed, Work
from thaw.training.training import Training


def training_of(folder: Path, *overrides: str) -> Training:
    config.register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        node = compose("train", [*TINY, "callbacks.samples=null", "logger=none", *overrides])
    training = Training(node, folder)
    training.experiment.data.setup()
    return training


def test_steps_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four steps of 2 s an epoch: 85 % of 100 s are ten epochs."""
    training = training_of(tmp_path, "degradation=column_random")
    monkeypatch.setattr(planning, "measured", lambda _: Speed(2.0, 0.0, 0.0))
    assert planning.num_steps(training) == 4
    assert planning.plan(training, 100.0) == 10
    assert planning.plan(training, 1.0) == 1
    training.cfg.trainer.max_epochs = 7
    assert planning.plan(training, 100.0) == 7


def test_work_is_what_the_scores_ask_of_the_network_and_the_encoder(tmp_path: Path) -> None:
    """28 steps by hand: 20 images and 30, restored directly and by both algorithms."""
    training = training_of(tmp_path, "degradation=column_random", "metrics.sampler.num_steps=7")
    ways = 1 + 2 * 7
    assert planning.epoch_work(training) == Work(20 * 7 + 5 * ways, 20 + 5 * 4)
    assert planning.final_work(training) == Work(30 * 28 + 20 * (1 + 2 * 28), 30 + 20 * 4)
    assert planning.validation_work(training) == Work(128, 0)


def test_noise_restores_nothing_and_samples_by_its_own_sampler(tmp_path: Path) -> None:
    training = training_of(tmp_path, "degradation=gaussian", "metrics.num_restored=0")
    assert planning.epoch_work(training) == Work(20 * 5, 20)
    assert planning.final_work(training) == Work(30 * 20, 30)


def test_scores_take_their_part_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer of 0.1 s: the end takes 198 s, an epoch 8 s of steps, 12.8 and 21.5 / 5 s."""
    training = training_of(
        tmp_path, "degradation=column_random", "metrics.sampler.num_steps=7",
        "metrics.every_n_epochs=5",
    )  # fmt: skip
    monkeypatch.setattr(planning, "measured", lambda _: Speed(2.0, 0.1, 0.0))
    seconds = 30 * 2.8 + 20 * 5.7 + 10.5 * (8 + 12.8 + 21.5 / 5)
    assert planning.plan(training, seconds / 0.85) == 10


def test_what_is_measured_is_positive_and_leaves_the_model_alone(tmp_path: Path) -> None:
    training = training_of(tmp_path, "degradation=column_random")
    module = training.experiment.module
    before = {name: value.clone() for name, value in module.state_dict().items()}
    speed = planning.measured(training)
    assert 0 < speed.answer < speed.step
    assert speed.encoding > 0
    assert all(before[name].equal(value) for name, value in module.state_dict().items())

"""Contract tests of conf/: every file of every group composes, builds and runs a step."""

import copy
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from torch import Generator, Tensor

from thaw.commands import config
from thaw.data.augment import augmented
from thaw.diffusion.generation import generate
from thaw.groups import GROUPS, PRESETS
from thaw.training.experiment import Experiment, build, check_keys
from thaw.training.loggers.opening import OF_TARGET
from thaw.training.nodes import create

CONF = Path(__file__).resolve().parents[2] / "conf"
# A group inside a group is called as on the command line: objective/weighting.
FILES = [
    (path.parent.relative_to(CONF).as_posix(), path.stem)
    for path in sorted(CONF.glob("*/**/*.yaml"))
    if path.parent.name != "companions"  # what others are built on
]
# Nothing is read, scored or logged unless a test is about that. T = 30 is short and enough for
# every sampler's steps.
QUICK = {"data": "mnist_5k", "metrics": "none", "logger": "none", "schedule.timesteps": "30"}
# A file has to fit one of these.
FOUNDATIONS = (
    {"degradation": "gaussian"},
    {"degradation": "gaussian", "prediction": "flow"},
    {"degradation": "gaussian", "prediction": "edm"},
    {"schedule": "cosine"},  # which ends in noise
    {"degradation": "heat"},  # which adds a trace of it
    {"degradation": "column_random"},
    {"degradation": "bridge"},
    {"degradation": "bridge", "schedule": "cosine"},
    {"data": "cifar10"},  # in colour
    {"data": "cifar10", "degradation": "bridge"},
    {"data": "paired_folder"},
    {"data": "paired_folder", "degradation": "bridge"},
)
# The groups that a sample depends on, and those that decide on how Lightning trains.
SAMPLED = {"model", "schedule", "degradation", "prediction", "sampler", "prior", "ema"}
OF_TRAINER = {"trainer", "callbacks", "experiment", "debug"}
# The CNN for all but the choices of networks.
SMALL = {"model.hidden": "[4]", "model.kernel_size": "3"}


def composed(command: str = "train", **choices: str) -> DictConfig:
    """conf/<command>.yaml with GROUP=NAME and KEY=VALUE overrides."""
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(command, overrides=[f"{key}={value}" for key, value in choices.items()])


def quick(**choices: str) -> DictConfig:
    return composed(**QUICK | choices)


def built(group: str, name: str) -> tuple[DictConfig, Experiment]:
    """The experiment with ``group=name`` and the first of FOUNDATIONS that fits it."""
    refusals = []
    for foundation in FOUNDATIONS:
        own = foundation | {group: name}
        if group == "degradation/to" and own.get("degradation") != "bridge":
            continue
        if group == "experiment" and "source" in composed(**own).data:
            own["data"] = "photographs"
        cfg = quick(**own)
        if group != "model" and "hidden" in cfg.model:
            cfg = quick(**own | SMALL)
        if group == "experiment" and cfg.sampler.num_steps:
            cfg.sampler.num_steps = 3
        try:
            return cfg, build(cfg, provenance={})
        except ValueError as error:
            refusals.append(str(error))
    raise AssertionError(f"{group}={name} fits none of {FOUNDATIONS}: {refusals}")


def blank_images(experiment: Experiment, num_images: int = 2) -> Tensor:
    """uint8, black but for a square, which averaging and noise both change."""
    images = torch.zeros(num_images, *experiment.data.stored_shape, dtype=torch.uint8)
    images[..., 8:16, 10:14] = 255
    return images


def run_one_step(experiment: Experiment) -> None:
    """As Lightning would: the partial nodes are called, loss and gradient are finite."""
    module = experiment.module
    network = module.restorer.network
    before = [parameter.clone() for parameter in network.parameters()]
    optimizer = module.optimizer(network.parameters())
    scheduler = module.lr_scheduler(optimizer, num_steps=100) if module.lr_scheduler else None
    images = blank_images(experiment)
    if experiment.data.augment is not None:
        images = augmented(images, experiment.data.augment, seed=0)
    x_0 = experiment.data.pixel_range.from_uint8(images)
    loss = module.objective(module.restorer, x_0, Generator().manual_seed(0))
    loss.backward()
    optimizer.step()
    if scheduler is not None:
        scheduler.step()
    if module.ema is not None:
        module.ema.update(module.restorer)
    assert loss.isfinite()
    assert all(parameter.isfinite().all() for parameter in network.parameters())
    after = network.parameters()
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


def sample_two(experiment: Experiment) -> None:
    """From the prior to images, with the run's sampler and with that of the scores."""
    module = experiment.module
    module.prior.fit(blank_images(experiment), experiment.restorer.degradation)
    for sampler in (experiment.sampler, experiment.score_sampler):
        (x_0,) = generate(experiment.restorer, sampler, module.prior, 2, 2, seed=0)
        assert x_0.shape == (2, *experiment.data.image_shape)
        assert x_0.isfinite().all()


def test_there_are_files_to_test() -> None:
    assert {group for group, _ in FILES} >= {row.name for row in GROUPS} | set(PRESETS)


@pytest.mark.parametrize("command", sorted(path.stem for path in CONF.glob("*.yaml")))
def test_every_command_composes(command: str) -> None:
    cfg = composed(command)
    assert ("seed" in cfg) == (command not in ("report", "demo"))
    assert "???" not in OmegaConf.to_yaml(cfg)


# Two have a test of their own below: a logger needs a run directory, and Inception's weights are a
# download, so its file is composed and its keys are checked, no more.
@pytest.mark.parametrize(
    ("group", "name"),
    [
        pytest.param(*file, marks=[pytest.mark.slow] if file == ("model", "unet_base") else [])
        for file in FILES
        if file[0] != "logger" and file != ("metrics", "inception")
    ],
)
def test_every_file_builds_trains_a_step_and_samples(
    group: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THAW_DATA", str(tmp_path))  # to be named, not read
    cfg, experiment = built(group, name)
    run_one_step(experiment)
    if group.partition("/")[0] in SAMPLED:
        sample_two(experiment)
    if group not in OF_TRAINER:
        return
    context = {
        "run_dir": tmp_path,
        "sampler": experiment.sampler,
        "data": experiment.data,
        "seed": cfg.seed,
    }
    callbacks = [create(node, **context) for node in cfg.callbacks.values() if node]
    trainer = create(cfg.trainer, callbacks=callbacks, logger=False, default_root_dir=tmp_path)
    assert isinstance(trainer, pl.Trainer)


@pytest.mark.parametrize("name", [name for group, name in FILES if group == "logger"])
def test_every_logger_builds(name: str, tmp_path: Path) -> None:
    cfg = quick(logger=name)
    for key, node in cfg.logger.items():
        # In a run this is Hydra's output directory.
        for each in set(node) & {"save_dir", "offline_directory"}:
            node[each] = str(tmp_path)
        check_keys(node)
        if OF_TARGET[node._target_].package:  # see tests/commands/test_loggers.py
            assert key == name  # the choice in messages
            continue
        logger = create(node)
        logger.log_metrics({"loss": 1.0}, step=1)
        logger.finalize("success")
        assert any(tmp_path.rglob("*"))


def test_inceptions_file_composes_with_keys_that_exist() -> None:
    cfg = quick(metrics="inception")
    check_keys(cfg)
    assert cfg.metrics.suite.encoder._target_.endswith("InceptionEncoder")


NODES = "data model degradation schedule prediction objective sampler prior"
NODES += " optimizer callbacks.samples callbacks.forward_process trainer metrics.sampler"


def test_a_mistyped_key_inside_a_node_is_refused() -> None:
    """Hydra accepts it from an experiment file or with a plus; what it configures would not."""
    cfg = quick()
    for path in NODES.split():
        changed = copy.deepcopy(cfg)
        OmegaConf.update(changed, f"{path}.mistyped", 3, force_add=True)
        with pytest.raises(ValueError, match=r"unknown key [\w.]+\.mistyped; allowed: ?"):
            build(changed, provenance={})
    OmegaConf.update(cfg, "optimizer.lrr", 3, force_add=True)
    allowed = "betas, eps, fused, lr, weight_decay"
    with pytest.raises(ValueError, match=f"unknown key optimizer.lrr; allowed: {allowed}$"):
        build(cfg, provenance={})


def experiment_file(folder: Path, text: str) -> dict[str, Any]:
    """Choices that make an experiment of ``text``."""
    (folder / "experiment").mkdir()
    (folder / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{text}\n")
    return {"hydra.searchpath": f"[file://{folder}]", "experiment": "mine"}


def test_an_experiment_file_sets_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    text = "optimizer:\n  lr: 0.5\n  lrr: 1\nseed: 7"
    cfg = quick(**experiment_file(tmp_path, text))
    assert (cfg.optimizer.lr, cfg.seed) == (0.5, 7)
    with pytest.raises(ValueError, match="unknown key optimizer.lrr"):
        build(cfg, provenance={})
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nsede: 7\n")
    with pytest.raises(HydraException) as error:
        quick(**{"hydra.searchpath": f"[file://{tmp_path}]", "experiment": "mine"})
    assert "sede" in f"{error.value} {error.value.__cause__}"


@pytest.mark.parametrize(
    ("model", "degradation"), [("cnn", "column_noise"), ("unet", "row_shuffled")]
)
def test_a_network_can_be_told_what_is_spoilt(model: str, degradation: str) -> None:
    choices = {"model": model, "degradation": degradation, "degradation.condition": "mask"}
    experiment = build(quick(**choices), provenance={})
    run_one_step(experiment)
    sample_two(experiment)


class WithoutExtraChannels(torch.nn.Conv2d):
    """A network of someone's own that knows nothing of conditions."""

    def __init__(self) -> None:
        super().__init__(1, 1, 1)


def test_a_network_that_cannot_be_told_is_refused() -> None:
    cfg = quick(**{"degradation": "column_random", "degradation.condition": "mask"})
    cfg.model = {"_target_": f"{__name__}.WithoutExtraChannels"}
    with pytest.raises(ValueError, match="condition=mask needs a network that takes extra_channe"):
        build(cfg, provenance={})


def test_channels_last_is_another_order_in_memory_of_the_same_numbers() -> None:
    losses = []
    for channels_last in ("false", "true"):
        torch.manual_seed(0)
        experiment = build(quick(model="unet", channels_last=channels_last, ema="standard"), {})
        for restorer in (experiment.module.restorer, experiment.restorer):
            weights = [each for each in restorer.network.parameters() if each.dim() == 4]
            in_order = [each.is_contiguous(memory_format=torch.channels_last) for each in weights]
            is_plain = [each.is_contiguous() for each in weights]
            assert all(in_order if channels_last == "true" else is_plain)
        x_0 = experiment.data.pixel_range.from_uint8(blank_images(experiment))
        module = experiment.module
        losses.append(module.objective(module.restorer, x_0, Generator().manual_seed(0)))
        losses[-1].backward()
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-5, atol=1e-6)


def test_a_bridge_brings_the_prior_of_its_end_and_parts_of_its_own() -> None:
    """Each can still be chosen; what only the whole experiment knows reaches the end too."""
    ends = {"gaussian": "Normal", "pixelate": "Empirical", "row_noise": "Empirical"}
    for end, prior in ends.items():
        cfg = quick(degradation="bridge", **{"degradation/to": end, "sampler.num_steps": "3"})
        experiment = build(cfg, provenance={})
        parts = (experiment.module.prior, experiment.sampler, experiment.module.objective)
        assert [type(part).__name__ for part in parts] == [prior, "InDI", "MSE"]
        assert type(experiment.restorer.prediction).__name__ == "Clean"
        run_one_step(experiment)
        sample_two(experiment)
    changes = {"degradation/to": "column_random", "degradation.to.group_size": "4"}
    chosen = {"prior": "gmm", "prior.components": "1", "sampler": "cold"}
    cfg = quick(degradation="bridge", **changes, **chosen, **{"degradation.to.condition": "mask"})
    experiment = build(cfg, provenance={})
    assert type(experiment.sampler).__name__ == "Cold"
    run_one_step(experiment)
    sample_two(experiment)


def test_what_does_not_fit_a_bridge_is_refused_by_its_key() -> None:
    refused = {
        "degradation.to: Decolour needs images of 2 channels": {"degradation/to": "decolour"},
        "degradation.to.num_steps must be at most 5": {"degradation.to.num_steps": "9"},
        "degradation.to.num_steps must be a whole number": {"degradation.to.num_steps": "0"},
        "Normal needs a degradation of the kind Noising, got Pixelate": {"prior": "normal"},
        "InDI needs a degradation of the kind StraightPath, got Pixelate": {
            "degradation": "pixelate",
            "sampler": "indi",
        },
        "at the end of Bridge there is only noise": {
            "degradation/to": "gaussian",
            "schedule.rescale": "true",
            "prior": "gmm",
        },
    }
    for message, choices in refused.items():
        with pytest.raises(ValueError, match=message):
            build(quick(**{"degradation": "bridge"} | choices), provenance={})

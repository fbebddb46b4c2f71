"""What a stored configuration may name: what conf/ names, at its place, and nothing else."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from thaw.groups import GROUPS, OF_A_MODEL, PRESETS, ROOTS, STATEFUL, WITHIN
from thaw.training.stored_targets import check_stored, check_target, stored_config

CONF = Path(__file__).parents[2] / "conf"
FILES = [
    (path.parent.relative_to(CONF).as_posix(), yaml.safe_load(path.read_text()))
    for row in ROOTS
    for path in sorted((CONF / row.name).rglob("*.yaml"))
]
ATTACKS = [
    "os.system",
    "builtins.eval",
    "subprocess.Popen",
    "hydra.utils.instantiate",
    "omegaconf.OmegaConf.register_new_resolver",
    "torch.load",
    "torch.utils.cpp_extension.load_inline",
    "torch.nn.Module",
    "torch.optim.Adam.__init__",
    "torch.optim.optimizer.torch.hub.load",
    "torch.optim.swa_utils.AveragedModel",
    "torch.optim.lr_scheduler.LambdaLR",
    "torchvision.transforms.v2.functional.torch.load",
    "pytorch_lightning.trainer.trainer.os.system",
    "thaw",
    "thaw.storage.write_atomically",
    "thaw.storage.os.system",
    "thaw.commands.train.main",
    "thaw.training.loading.load_run",
    "thaw.training.lr_schedules.math.exp",
    "thaw.data.download.fetch",
    "thaw.data.cifar.pickle.loads",
    "thaw.data.cifar._Arrays",
    "thaw.diffusion.schedules.torch.load",
    "thaw.metrics.encoders.read_safetensors",
    "thaw.metrics.train_encoder.train_and_write",
    "thaw.networks.cnn.CNN.__init__.__globals__",
    "thaw.networks.no_such_module.Network",
    "thaw.networks.cnn.NoSuchClass",
    "thawed.networks.cnn.CNN",
    "thaw.datax.Source",
    "",
    "os.system ",
    "thaw.networks.cnn.CNN\n",
    "thaw..networks.cnn.CNN",
    "\uff4fs.system",
]


def at(place: str, value: Any) -> Any:
    """A configuration with a value at a key."""
    for key in reversed(re.split("[./]", place)):
        value = {key: value}
    return value


def without_interpolations(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_interpolations(entry) for key, entry in value.items()}
    return 0 if isinstance(value, str) and "${" in value else value


def test_all_that_conf_names_is_allowed_where_it_stands() -> None:
    assert len(FILES) > 50
    for group, contents in FILES:
        check_stored(at(group, without_interpolations(contents)))


def test_a_new_group_is_a_folder_and_a_row() -> None:
    folders = {path.relative_to(CONF).as_posix() for path in CONF.rglob("*") if path.is_dir()}
    ours = {folder for folder in folders if not folder.startswith(("hydra", "companions"))}
    assert ours == {row.name for row in GROUPS} | set(PRESETS)
    assert "objective.timesteps" in STATEFUL
    assert {"model", "metrics", "seed"} < set(OF_A_MODEL)
    assert not {"trainer", "callbacks", "logger"} & set(OF_A_MODEL)


PLACES_OF_ATTACKS = ["model", "callbacks.x", "data.augment", "trainer.strategy", "model.hidden.x"]


@pytest.mark.parametrize("place", PLACES_OF_ATTACKS)
def test_nothing_else_is_allowed_anywhere(place: str) -> None:
    for target in ATTACKS:
        with pytest.raises(ValueError, match="its configuration names"):
            check_target(target, place)
    for row in (*GROUPS, *WITHIN):
        with pytest.raises(ValueError, match="its configuration names"):
            check_target("thaw.storage.write_atomically", row.place)


@pytest.mark.parametrize(
    ("place", "target"),
    [
        ("model", "thaw.diffusion.predictions.Clean"),
        ("schedule", "thaw.networks.cnn.CNN"),
        ("sampler.grid", "thaw.diffusion.samplers.cold.Cold"),
        ("optimizer", "thaw.training.lr_schedules.cosine"),
        ("model.hidden", "pytorch_lightning.Trainer"),
        ("logger.x", "pytorch_lightning.loggers.NeptuneLogger"),
    ],
)
def test_each_place_takes_its_kind_alone(place: str, target: str) -> None:
    with pytest.raises(ValueError, match=f"names {target} at {place}._target_"):
        check_target(target, place)


@pytest.mark.parametrize("target", [None, ["os.system"]])
def test_a_target_that_is_no_text_is_refused(target: Any) -> None:
    with pytest.raises(ValueError, match="its configuration names"):
        stored_config({"model": {"_target_": target}})


EVIL = {"_target_": "os.mkdir", "path": "created"}
PLACES: dict[str, Any] = {
    "part": {"sampler": EVIL},
    "argument": {"model": {"_target_": "thaw.networks.cnn.CNN", "hidden": EVIL}},
    "positional": {"model": {"_target_": "thaw.networks.cnn.CNN", "_args_": [EVIL]}},
    "list": {"metrics": {"suite": [[EVIL]]}},
    "unconverted": {"data": {"x": EVIL, "_recursive_": False, "_convert_": "none"}},
    "deep": {"prior": {"a": {"b": {"c": [{"d": EVIL}]}}}},
}


@pytest.mark.parametrize("place", PLACES)
def test_it_is_found_wherever_it_stands(place: str) -> None:
    with pytest.raises(ValueError, match="its configuration names os.mkdir"):
        stored_config(PLACES[place])


@pytest.mark.parametrize(
    "text",
    [
        "${oc.env:HOME}",
        "a ${now:%Y} b",
        "${oc.create:{_target_: os.mkdir}}",
    ],
)
def test_an_interpolation_is_refused_unresolved(text: str, tmp_path: Path) -> None:
    for stored in ({"seed": text}, {"model": {"hidden": [text]}}, {"data": {text: 1}}):
        with pytest.raises(ValueError, match="its configuration holds an interpolation"):
            stored_config(stored)


def nested(depth: int) -> dict[str, Any]:
    stored: dict[str, Any] = {}
    for _ in range(depth):
        stored = {"a": stored}
    return stored


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (None, "holds no configuration"),
        ({"model": nested(900)}, "nested too deep"),
        ({"model": {b"_target_": "os.mkdir"}}, "a key of type bytes"),
        ({"model": {"x": object()}}, "a object at model.x"),
        ({"model": {"x": (1, 2)}}, "a tuple at model.x"),
    ],
    ids=["none", "deep", "bytes", "object", "tuple"],
)
def test_what_is_no_resolved_configuration_is_refused(stored: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        stored_config(stored)


def test_what_only_training_needs_is_not_even_looked_at() -> None:
    augment = {"_target_": "my_package.Augment"}
    config = stored_config(
        {
            "seed": 1,
            "data": {"_target_": "thaw.data.module.ImageDataModule", "augment": augment},
            "callbacks": {"mine": EVIL},
            "logger": EVIL,
            "trainer": EVIL,
            "hydra": EVIL,
        }
    )
    assert set(config) == {"seed", "data"}
    assert config.data.augment is None


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of the user's that leaves a trace when it is imported."""
    name = "package_of_a_user"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(
        f"import os, pathlib\npathlib.Path({str(tmp_path)!r}, 'imported').touch()\n"
        "from os import system\n\nclass Network: ...\n\ndef make(): ...\n\nMODULE = os\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)


def test_a_package_is_imported_only_once_it_is_trusted(package: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"add its package by trusted=\[PACKAGE\]"):
        check_target(f"{package}.Network", "model")
    assert not (tmp_path / "imported").exists()
    for name in ("Network", "make"):
        check_target(f"{package}.{name}", "model", [package])
    assert (tmp_path / "imported").exists()
    for name in ("system", "MODULE.system", "os.mkdir", "Network.__init__", "pathlib.Path"):
        with pytest.raises(ValueError, match="its configuration names"):
            check_target(f"{package}.{name}", "model", [package])
    with pytest.raises(ValueError, match="which is not there"):
        check_target(f"{package}.Nothing", "model", [package])
    with pytest.raises(ValueError, match="its configuration names"):
        check_target(f"{package}_2.Network", "model", [package])

"""What a stored configuration may name: all that conf/ names, and nothing that does anything."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from thaw.training.stored_targets import check_target, check_training, stored_config

CONF = Path(__file__).parents[2] / "conf"
TARGETS = sorted(
    {
        (path.relative_to(CONF).parts[0], target)
        for path in CONF.rglob("*.yaml")
        for target in re.findall(r"^\s*_target_: (\S+)$", path.read_text(), re.MULTILINE)
    }
)
OF_TRAINING = ("callbacks", "logger", "trainer", "train.yaml")
ATTACKS = [
    "os.system",
    "os",
    "builtins.eval",
    "builtins.exec",
    "subprocess.Popen",
    "functools.partial",
    "importlib.import_module",
    "hydra.utils.get_class",
    "hydra.utils.get_method",
    "hydra.utils.instantiate",
    "hydra.utils.call",
    "omegaconf.OmegaConf.register_new_resolver",
    "torch.load",
    "torch.hub.load",
    "torch.jit.load",
    "torch.utils.cpp_extension.load_inline",
    "torch.serialization.os.system",
    "torch.nn.Module",
    "torch.optim.Adam.__init__",
    "torch.optim.optimizer.torch.hub.load",
    "torch.optim.optimizer.Optimizer",
    "torch.optim.swa_utils.AveragedModel",
    "torch.optim.lr_scheduler.LambdaLR",
    "torch.optim.os",
    "torchvision.transforms.v2.Lambda",
    "torchvision.transforms.v2.functional.torch.load",
    "pytorch_lightning.Trainer",
    "pytorch_lightning.loggers.TensorBoardLogger",
    "pytorch_lightning.trainer.trainer.os.system",
    "thaw",
    "thaw.storage.write_atomically",
    "thaw.runs.os.system",
    "thaw.commands.train.main",
    "thaw.commands.app.run",
    "thaw.commands.config.claim_directory",
    "thaw.commands.sweeps.SweepSummary",
    "thaw.reporting.images.save_png",
    "thaw.training.loading.load_run",
    "thaw.training.ema.copy.deepcopy",
    "thaw.training.callbacks.checkpoints.os.system",
    "thaw.training.lr_schedules.math.exp",
    "thaw.data.download.fetch",
    "thaw.data.pixel_cache.cached_pixels",
    "thaw.data.cifar.pickle.loads",
    "thaw.data.cifar.os.system",
    "thaw.data.cifar._Arrays",
    "thaw.data.sources.np.load",
    "thaw.data.sources.fetch",
    "thaw.diffusion.schedules.torch.load",
    "thaw.diffusion.schedules.torch",
    "thaw.metrics.encoders.safe_open",
    "thaw.metrics.encoders.read_safetensors",
    "thaw.metrics.encoders.Path",
    "thaw.metrics.reference.Reference.load",
    "thaw.metrics.train_encoder.train_and_write",
    "thaw.networks.cnn.nn.Module",
    "thaw.networks.cnn.CNN.__init__.__globals__",
    "thaw.networks.no_such_module.Network",
    "thaw.networks.cnn.NoSuchClass",
    "thawed.networks.cnn.CNN",
    "thaw.datax.Source",
    "",
    ".",
    "os.system ",
    " thaw.networks.cnn.CNN",
    "thaw.networks.cnn.CNN\n",
    "thaw..networks.cnn.CNN",
    "thaw.networks.cnn.CNN.",
    "\uff4fs.system",
]


@pytest.mark.parametrize(("group", "target"), TARGETS, ids=lambda text: text)
def test_all_that_conf_names_is_allowed_where_it_belongs(group: str, target: str) -> None:
    if target.startswith("thaw.commands.") or group == "hydra":  # of the command, stored nowhere
        return
    is_part = group not in OF_TRAINING and not target.startswith("torchvision.")
    check_training({group: {"_target_": target}})
    if is_part:
        check_target(target)
    else:
        with pytest.raises(ValueError, match="none of thaw's own parts"):
            check_target(target)


def test_conf_names_enough_for_that_test_to_mean_something() -> None:
    assert len(TARGETS) > 50


@pytest.mark.parametrize("target", ATTACKS)
def test_nothing_else_is_allowed(target: str) -> None:
    with pytest.raises(ValueError, match="its configuration names"):
        check_target(target)
    if not target.startswith("pytorch_lightning.Trainer") and "TensorBoardLogger" not in target:
        with pytest.raises(ValueError, match="its configuration names"):
            check_training({"model": {"_target_": target}})


@pytest.mark.parametrize("target", [None, 3, ["os.system"], {"_target_": "os.system"}, True, 1.5])
def test_a_target_that_is_no_text_is_refused(target: Any) -> None:
    with pytest.raises(ValueError, match="its configuration names"):
        stored_config({"model": {"_target_": target}})


EVIL = {"_target_": "os.mkdir", "path": "created"}
PLACES: dict[str, Any] = {
    "part": {"sampler": EVIL},
    "argument": {"model": {"_target_": "thaw.networks.cnn.CNN", "hidden": EVIL}},
    "positional": {"model": {"_target_": "thaw.networks.cnn.CNN", "_args_": [EVIL]}},
    "list": {"metrics": {"suite": [[EVIL]]}},
    "partial": {"optimizer": EVIL | {"_partial_": True}},
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
        "${thaw.unique:created}",
        "${hydra:runtime.cwd}",
        "a ${now:%Y} b",
        "\\${seed}",
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
        (["model"], "holds no configuration"),
        ("model: {}", "holds no configuration"),
        ({"model": nested(900)}, "nested more than 40 deep"),
        ({"model": {b"_target_": "os.mkdir"}}, "a key of type bytes"),
        ({"model": {"x": object()}}, "a object at model.x"),
        ({"model": {"x": (1, 2)}}, "a tuple at model.x"),
    ],
    ids=["none", "list", "text", "deep", "bytes", "object", "tuple"],
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
        check_target(f"{package}.Network")
    assert not (tmp_path / "imported").exists()
    for name in ("Network", "make"):
        check_target(f"{package}.{name}", [package])
    assert (tmp_path / "imported").exists()
    for name in ("system", "MODULE.system", "os.mkdir", "Network.__init__", "pathlib.Path"):
        with pytest.raises(ValueError, match="its configuration names"):
            check_target(f"{package}.{name}", [package])
    with pytest.raises(ValueError, match="which is not there"):
        check_target(f"{package}.Nothing", [package])
    with pytest.raises(ValueError, match="its configuration names"):
        check_target(f"{package}_2.Network", [package])

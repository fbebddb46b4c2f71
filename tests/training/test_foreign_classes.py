"""What is checked of classes that are not thaw's: every key in conf/ is, or is Lightning's."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from thaw.training.foreign import CHECKS, check_values

CONF = Path(__file__).resolve().parents[2] / "conf"
# Lightning lists what it takes, and knows best what the machine has.
LEFT_TO_LIGHTNING = {"broadcast_buffers"}
STRATEGY = "pytorch_lightning.strategies.DDPStrategy"


def foreign_nodes(value: Any, where: str) -> list[tuple[str, dict[str, Any]]]:
    """Every node below ``value`` of a class outside of thaw."""
    if isinstance(value, list):
        return [found for entry in value for found in foreign_nodes(entry, where)]
    if not isinstance(value, dict):
        return []
    target = value.get("_target_", "thaw.")
    # What another key stands for is checked as that.
    plain = {key: entry for key, entry in value.items() if "${" not in str(entry)}
    here = [] if target.startswith("thaw.") else [(where, plain)]
    return here + [found for entry in value.values() for found in foreign_nodes(entry, where)]


FOUND = [
    found
    for path in sorted(CONF.glob("*/**/*.yaml"))
    if not path.is_relative_to(CONF / "hydra")  # Hydra's to check
    for found in foreign_nodes(yaml.safe_load(path.read_text()), str(path.relative_to(CONF)))
]


def test_there_are_such_nodes() -> None:
    assert {values["_target_"] for _, values in FOUND} == {*CHECKS, STRATEGY}


@pytest.mark.parametrize("number", range(len(FOUND)), ids=lambda number: f"node {number}")
def test_every_key_of_conf_is_checked_and_its_value_passes(number: int) -> None:
    where, values = FOUND[number]
    target = values["_target_"]
    keys = {key for key in values if not key.startswith("_")}
    assert keys - set(CHECKS.get(target, {})) <= LEFT_TO_LIGHTNING, where
    check_values(target, "", values)


@pytest.mark.parametrize(
    ("target", "key", "good", "bad"),
    [
        ("torch.optim.Adam", "lr", [0, 1e-3, 1], [-1, float("nan"), "1", None, True, [1]]),
        ("torch.optim.Adam", "betas", [[0, 0.9]], [0.9, [0.9], [0.9, 1], ["a", "b"], [], None]),
        ("torch.optim.SGD", "momentum", [0, 0.9], [1, -0.1, "x"]),
        ("torch.optim.AdamW", "fused", [None, True, False], ["yes", 1]),
        ("pytorch_lightning.Trainer", "max_epochs", [1, -1, None], [0, -2, 1.0, "1", 2**63]),
        (
            "pytorch_lightning.Trainer",
            "limit_train_batches",
            [None, 1, 0.5, 1.0],
            [0, 0.0, 1.5, -1],
        ),
        ("pytorch_lightning.Trainer", "limit_val_batches", [None, 0, 0.0, 3], [-1, "all", 1.1]),
        (
            "pytorch_lightning.Trainer",
            "devices",
            ["auto", -1, 2, "0,1", [0, 1]],
            [0, 10**9, "x", []],
        ),
        (
            "pytorch_lightning.Trainer",
            "max_time",
            [None, "00:00:05:00", {"hours": 2}],
            ["5 minutes", "00:00:00:00", {}, {"years": 1}, {"hours": -1}, 5],
        ),
        (
            "pytorch_lightning.Trainer",
            "val_check_interval",
            [None, 3, 0.5, "00:01:00:00"],
            [0, "x"],
        ),
        (
            "pytorch_lightning.Trainer",
            "precision",
            [None, "32-true", "64-true", "16-mixed", "bf16-mixed", "bf16", 16, 32, 64, "64"],
            ["16-true", "bf16-true", "transformer-engine", "double", 8, True, [64]],
        ),
        ("pytorch_lightning.Trainer", "callbacks", [], [None, []]),
        ("pytorch_lightning.Trainer", "profiler", [None, "simple"], ["fast", 3]),
        ("pytorch_lightning.loggers.TensorBoardLogger", "save_dir", ["here"], [None, 5]),
        ("torchvision.transforms.v2.RandomAffine", "degrees", [0, 10, [-5, 5]], [-1, [1], "x"]),
        ("torchvision.transforms.v2.RandomAffine", "scale", [None, [0.9, 1.1]], [[0, 1], 1]),
        ("torchvision.transforms.v2.Compose", "transforms", [[{"_target_": "x"}]], [[], " ", [5]]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_passes_and_what_does_not(
    target: str, key: str, good: list[object], bad: list[object]
) -> None:
    for value in good:
        check_values(target, "group.", {key: value})
    for value in bad:
        with pytest.raises(ValueError, match=rf"\bgroup\.{key}\b"):
            check_values(target, "group.", {key: value})


def test_other_classes_are_their_own_affair() -> None:
    check_values("someone.Else", "group.", {"lr": "fast"})

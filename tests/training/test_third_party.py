"""What is checked of classes of other packages: the types of their signatures, and a few values."""

import re

import pytest
from omegaconf import OmegaConf

from thaw.training.nodes import check_keys

TRAINER = "pytorch_lightning.Trainer"


def check(target: str, key: str, value: object) -> None:
    check_keys(OmegaConf.create({"group": {"_target_": target, key: value}}))


@pytest.mark.parametrize(
    ("target", "key", "good", "bad"),
    [
        ("torch.optim.Adam", "lr", [0, 1e-3], [float("nan"), "1", None, True, [1]]),
        ("torch.optim.Adam", "betas", [[0, 0.9]], [0.9, ["a", "b"], None]),
        ("torch.optim.AdamW", "fused", [None, True], ["yes"]),
        (TRAINER, "max_epochs", [1, -1, None], [0, -2, 1.0, "1", 2**63]),
        (TRAINER, "max_steps", [1, -1], [0, -2, 1.5, None]),
        (TRAINER, "limit_train_batches", [None, 1, 0.5, 1.0], [0, 0.0, 1.5, -1]),
        (TRAINER, "accumulate_grad_batches", [1, 4], [0, 1.5]),
        (TRAINER, "gradient_clip_val", [None, 0, 1.0], [-1.0, "x"]),
        (TRAINER, "max_time", [None, "00:00:05:00", {"hours": 2}], [5]),
        (TRAINER, "devices", ["auto", -1, [0, 1]], [1.5, None]),
        (TRAINER, "precision", [None, "32-true", "bf16-mixed", 16, "64"],
         ["16-true", "bf16-true", "transformer-engine", 8, [64]]),
        (TRAINER, "callbacks", [], [None, []]),
        (TRAINER, "default_root_dir", [], ["here"]),
        ("pytorch_lightning.loggers.TensorBoardLogger", "save_dir", ["here"], [None, 5]),
        ("pytorch_lightning.loggers.TensorBoardLogger", "log_dir", [], ["here"]),
        ("torchvision.transforms.v2.RandomAffine", "scale", [None, [0.9, 1.1]], [1]),
    ],
)  # fmt: skip
def test_what_passes_and_what_does_not(
    target: str, key: str, good: list[object], bad: list[object]
) -> None:
    for value in good:
        check(target, key, value)
    for value in bad:
        with pytest.raises(ValueError, match=rf"^group\.{key} (must be|cannot be set)"):
            check(target, key, value)


def test_what_thaw_passes_itself_says_what_to_use() -> None:
    line = "group.plugins cannot be set: thaw gives it; use trainer.precision and trainer.strategy"
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        check(TRAINER, "plugins", [])


def unreadable(size: "Nowhere") -> None:  # type: ignore[name-defined] # noqa: F821
    """Its annotation cannot be evaluated."""


def test_annotations_that_cannot_be_read_are_let_be() -> None:
    check(f"{__name__}.unreadable", "size", "any")

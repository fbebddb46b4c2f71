"""What is checked of classes of other packages: types, by their annotations, and a few values.

Their own errors do for the rest; they come before training, with the key of the node.
"""

import inspect
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_type_hints

from annotated_types import Gt, Le
from hydra.utils import get_object

from thaw.checks import Count, NotNegative, constraints_of

TRAINER = "pytorch_lightning.Trainer"
TENSORBOARD = "pytorch_lightning.loggers.TensorBoardLogger"
NOTHING = Literal[-1] | None
# What thaw passes itself, and the way to choose it.
OWN: Mapping[str, Mapping[str, str]] = {
    TRAINER: {
        "callbacks": "the group callbacks",
        "logger": "the group logger",
        "plugins": "trainer.precision and trainer.strategy",
        "default_root_dir": "hydra.run.dir",
    },
    TENSORBOARD: {"log_dir": "logger.tensorboard.save_dir"},
}
# What would train to the end with wrong results and without a word (nothing at all, or along the
# reversed gradient), and what Lightning fails on without naming the key. With weights of 16 bits a
# thousand time steps are 256, and a step of the optimiser is often rounded to nothing.
ALLOWED: Mapping[str, Mapping[str, Any]] = {
    TRAINER: {
        "max_epochs": Count | NOTHING,
        "max_steps": Count | Literal[-1],
        "limit_train_batches": Count | Annotated[float, Gt(0), Le(1)] | None,
        "accumulate_grad_batches": Count,
        "check_val_every_n_epoch": Count | None,
        "gradient_clip_val": NotNegative | None,
        "precision": Literal[
            "32-true", "64-true", "16-mixed", "bf16-mixed", "32", "64", "16", "bf16", 32, 64, 16
        ]
        | None,
    },
}


def annotations_of(target: str) -> dict[str, Any]:
    """What the parameters of a class or function may be; empty where that cannot be read."""
    found = get_object(target)
    if target.startswith("thaw."):
        return constraints_of(found)
    try:
        hints = get_type_hints(found.__init__ if inspect.isclass(found) else found)
    except (NameError, TypeError, AttributeError):
        hints = {}
    return hints | dict(ALLOWED.get(target, {}))

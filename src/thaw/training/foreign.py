"""What may be set of classes that are not thaw's own, whose complaints do not name the key."""

import re
from collections.abc import Mapping
from functools import partial

from thaw.checks import (
    Check,
    check_between,
    check_bool,
    check_choice,
    check_list,
    check_text,
    check_whole,
    shown,
)

LARGEST = 1e6
# Processes of a node, and nodes: beyond, a list of them would fill the memory.
MAX_PROCESSES = 65_536
SMALLEST_SHARE = 1e-9
UNITS = ("weeks", "days", "hours", "minutes", "seconds")
# The last four are Lightning's short names for the others.
PRECISIONS = ("32-true", "64-true", "16-mixed", "bf16-mixed", "32", "64", "16", "bf16")


def either(check: Check, *others: object) -> Check:
    """What ``check`` passes, or one of ``others``."""
    words = ", ".join("null" if other is None else str(other) for other in others)

    def passes(name: str, value: object) -> None:
        if not any(type(value) is type(other) and value == other for other in others):
            check(f"{name} (or {words})", value)

    return passes


def own(instead: str) -> Check:
    """Nothing at all: thaw gives it itself."""

    def refuses(name: str, value: object) -> None:
        raise ValueError(f"{name} cannot be set: thaw gives it; use {instead}")

    return refuses


def check_batches(name: str, value: object, low: int = 0) -> None:
    """Refuse anything but a number of batches, or a share of them such as 0.1."""
    if isinstance(value, float):
        check_between(f"{name}, a share of all batches,", value, low * SMALLEST_SHARE, 1)
    else:
        check_whole(f"{name}, a number of batches or a share such as 0.1,", value, low)


def check_devices(name: str, value: object) -> None:
    """Refuse anything but how many devices, or a list of their numbers."""
    if isinstance(value, list | tuple):
        check_list(name, value, partial(check_whole, low=0, high=MAX_PROCESSES), "[0,1]")
    elif not (isinstance(value, str) and re.fullmatch(r"\d{1,4}(,\d{1,4})*", value)):
        check_whole(name, value, 1, MAX_PROCESSES)


def check_duration(name: str, value: object) -> None:
    """Refuse anything but DD:HH:MM:SS, or a mapping such as {hours: 2}, above 0."""
    if isinstance(value, Mapping) and value:
        for unit, amount in value.items():
            check_choice(f"each unit of {name}", unit, UNITS)
            check_between(f"{name}.{unit}", amount, 0, LARGEST, open_=True)
    elif (
        not isinstance(value, str)
        or not re.fullmatch(r"\d{1,6}:\d\d:\d\d:\d\d", value)
        or not re.search("[1-9]", value)
    ):
        raise ValueError(f"{name} must be DD:HH:MM:SS, such as 00:12:00:00, got {shown(value)}")


def check_interval(name: str, value: object) -> None:
    """Refuse anything but a number or a share of the batches above 0, or a duration."""
    if isinstance(value, str | Mapping):
        check_duration(name, value)
    else:
        check_batches(name, value, 1)


def check_spread(name: str, value: object) -> None:
    """Refuse anything but a number of at least 0, or a list of two."""
    if isinstance(value, list | tuple):
        check_list(name, value, partial(check_between, low=-LARGEST, high=LARGEST), "[0,10]", 2)
    else:
        check_between(name, value, 0, LARGEST)


def check_profiler(name: str, value: object) -> None:
    """Refuse a name that is no profiler's; a profiler of one's own is Lightning's to judge."""
    if isinstance(value, str | int | float | list):
        check_choice(name, value, ("simple", "advanced", "pytorch", "xla"))


def check_precision(name: str, value: object) -> None:
    """Refuse what Lightning lacks, and weights of 16 bits or less.

    In those, which would round everything else too, a thousand time steps are 256, and a step of
    the optimiser or of an average is often none.
    """
    if str(value) not in PRECISIONS:
        raise ValueError(
            f"{name} must be one of {', '.join(PRECISIONS[:4])} (weights of 32 or 64 bits), got "
            f"{shown(value)}"
        )


def check_node(name: str, value: object) -> None:
    """Refuse what describes no object."""
    if not isinstance(value, Mapping) or "_target_" not in value:
        raise ValueError(f"{name} must have a _target_, got {shown(value)}")


def check_strategy(name: str, value: object) -> None:
    """Refuse anything but a name, or what describes a strategy as trainer=ddp does."""
    if isinstance(value, Mapping):
        check_node(name, value)
    else:
        check_text(name, value)


whole = check_whole
from_zero = partial(check_whole, low=0)
not_negative = partial(check_between, low=0, high=LARGEST)
share = partial(check_between, low=0, high=1)
factor = partial(check_between, low=0, high=1000, open_=True)
below_one = partial(check_between, low=0, high=0.999_999)
maybe_bool = either(check_bool, None)
maybe_batches = either(check_batches, None)

OPTIMIZER: Mapping[str, Check] = {
    "lr": not_negative,
    "betas": partial(check_list, check=below_one, such_as="[0.9, 0.999]", length=2),
    "eps": not_negative,
    "weight_decay": not_negative,
    "momentum": below_one,
    "dampening": not_negative,
    "fused": maybe_bool,
    "foreach": maybe_bool,
    "nesterov": check_bool,
    "amsgrad": check_bool,
    "maximize": check_bool,
    "capturable": check_bool,
    "differentiable": check_bool,
}

TRAINER: Mapping[str, Check] = {
    "max_epochs": either(whole, None, -1),
    "min_epochs": either(from_zero, None),
    "max_steps": either(whole, -1),
    "min_steps": either(from_zero, None),
    "max_time": either(check_duration, None),
    "limit_train_batches": either(partial(check_batches, low=1), None),
    "limit_val_batches": maybe_batches,
    "limit_test_batches": maybe_batches,
    "limit_predict_batches": maybe_batches,
    "overfit_batches": check_batches,
    "val_check_interval": either(check_interval, None),
    "check_val_every_n_epoch": either(whole, None),
    "log_every_n_steps": whole,
    "accumulate_grad_batches": whole,
    "gradient_clip_val": either(not_negative, None),
    "gradient_clip_algorithm": either(partial(check_choice, choices=("norm", "value")), None),
    "num_sanity_val_steps": either(from_zero, -1),
    "fast_dev_run": either(from_zero, True, False),
    "deterministic": either(check_bool, None, "warn"),
    "benchmark": maybe_bool,
    "accelerator": check_text,
    "strategy": check_strategy,
    "devices": either(check_devices, "auto", -1, "-1"),
    "num_nodes": partial(check_whole, high=MAX_PROCESSES),
    "precision": either(check_precision, None),
    "profiler": either(check_profiler, None),
    "callbacks": own("the group callbacks"),
    "logger": own("the group logger"),
    "plugins": own("trainer.precision and trainer.strategy"),
    "default_root_dir": own("hydra.run.dir"),
    "detect_anomaly": check_bool,
    "enable_model_summary": check_bool,
    "enable_progress_bar": check_bool,
    "inference_mode": check_bool,
    "sync_batchnorm": check_bool,
    "use_distributed_sampler": check_bool,
}

TENSORBOARD: Mapping[str, Check] = {
    "save_dir": check_text,
    "name": either(check_text, None),
    "version": either(check_text, None),
    "default_hp_metric": check_bool,
    "log_dir": own("logger.tensorboard.save_dir"),
}

AFFINE: Mapping[str, Check] = {
    "degrees": check_spread,
    "translate": either(partial(check_list, check=share, such_as="[0.1, 0.1]", length=2), None),
    "scale": either(partial(check_list, check=factor, such_as="[0.9, 1.1]", length=2), None),
    "shear": either(check_spread, None),
    "interpolation": partial(check_whole, low=0, high=5),
}

CHECKS: Mapping[str, Mapping[str, Check]] = {
    "torch.optim.Adam": OPTIMIZER,
    "torch.optim.AdamW": OPTIMIZER,
    "torch.optim.SGD": OPTIMIZER,
    "pytorch_lightning.Trainer": TRAINER,
    "pytorch_lightning.loggers.TensorBoardLogger": TENSORBOARD,
    "torchvision.transforms.v2.Compose": {
        "transforms": partial(check_list, check=check_node, such_as="that of flip_affine")
    },
    "torchvision.transforms.v2.RandomAffine": AFFINE,
    "torchvision.transforms.v2.RandomHorizontalFlip": {"p": share},
}

# What a class that takes any key hands the others on to, later, when nobody knows the key any more.
HANDS_ON: Mapping[str, str] = {
    "pytorch_lightning.loggers.TensorBoardLogger": "torch.utils.tensorboard.SummaryWriter",
}


def check_values(target: str, path: str, values: Mapping[str, object]) -> None:
    """Refuse what a class outside of thaw, which conf/ names, would not take or not say so of.

    Args:
        target: the ``_target_`` of a node.
        path: the node's keys, ending in a dot.
        values: plain containers by key.

    Raises:
        ValueError: naming the key, what is allowed and what was given.
    """
    checks = CHECKS.get(target, {})
    for key, value in values.items():
        if key in checks:
            checks[key](path + key, value)

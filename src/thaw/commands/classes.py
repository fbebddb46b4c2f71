"""The classes that digit= (or label=) chooses in sample.py."""

from typing import Annotated

import torch
from annotated_types import Interval
from omegaconf import DictConfig, ListConfig
from torch import Tensor

from thaw.checks import check
from thaw.commands.errors import InputError
from thaw.training.loading import LoadedRun


def chosen(run: LoadedRun, cfg: DictConfig, num_images: int) -> Tensor:
    """The class of each image, int64 ``[N]``: that of ``digit``, or its classes in turn.

    Raises:
        InputError: the model is unconditional, or saw no image of such a class.
        ValueError: the model has no such class.
    """
    restorer = run.experiment.restorer
    if restorer.num_classes is None:
        raise InputError(
            f"digit={cfg.digit} needs a class-conditional model, and {run.run_dir} has none; "
            "train.py trains one with, for ten classes, model.num_classes=10"
        )
    classes = _classes(cfg)
    allowed = Annotated[int, Interval(ge=0, le=restorer.num_classes - 1)]
    for label in classes:
        check("digit (or label)", label, allowed)
        if not restorer.class_frequencies[label]:
            raise InputError(f"digit={label}: {run.run_dir} was trained on no image of that class")
    return torch.tensor(classes)[torch.arange(num_images) % len(classes)]


def folder(cfg: DictConfig) -> str:
    """What the name of a folder begins with, such as ``digit_7_``; empty without ``digit``."""
    return "" if cfg.digit is None else f"digit_{'-'.join(map(str, _classes(cfg)))}_"


def _classes(cfg: DictConfig) -> list[int]:
    several = isinstance(cfg.digit, ListConfig) and len(cfg.digit) > 0
    return list(cfg.digit) if several else [cfg.digit]

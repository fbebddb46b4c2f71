"""What has changed since a finished run: versions, code and data."""

import functools
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from thaw import runs
from thaw.commands.app import CONF
from thaw.commands.errors import InputError, one_line
from thaw.commands.replay import changes_since
from thaw.data.identity import changes, class_changes
from thaw.data.module import ImageDataModule
from thaw.training.experiment import resolved
from thaw.training.nodes import create

log = logging.getLogger(__name__)


def warn_of_other_data(cfg: DictConfig, now: Mapping[str, Any]) -> None:
    """Warn where a run that is trained again was trained on others than those of now."""
    if cfg.replay is not None:
        then = runs.read_record(Path(cfg.replay)).get("dataset")
        if words := changes(then, now):
            log.warning("other data than in %s: %s", cfg.replay, words)


def check_same(cfg: DictConfig, run_dir: Path) -> None:
    """Warn of what has changed since a completed run, which is not run again.

    Raises:
        InputError: its classes are others by now.
    """
    record = runs.read_record(run_dir)
    if record.get("status") != "completed":
        return
    for line in changes_since(run_dir, CONF.parent):
        log.warning("%s", line)
    node = resolved(cfg)["data"]
    try:
        # The seed says in which order they come: the jobs of a sweep share the images.
        now = _identity(json.dumps(node | ({"seed": 0} if "seed" in node else {})))
    except (OSError, ValueError) as error:
        log.warning("%s: its data cannot be compared: %s", run_dir, one_line(error))
        return
    then = record.get("dataset")
    again = "resume=never trains it again"
    if classes := class_changes(then, now):
        raise InputError(f"{run_dir} was trained on other classes: {classes}; {again}")
    if words := changes(then, now):
        log.warning("other data than in %s: %s; %s", run_dir, words, again)


@functools.cache
def _identity(config: str) -> dict[str, Any]:
    """The identity of the data that a configuration in JSON describes."""
    data: ImageDataModule = create(OmegaConf.create(json.loads(config)))
    data.source.may_fetch = False
    data.setup()
    return data.identity

"""What has changed since a finished run: versions, code and data."""

import functools
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from thaw import runs
from thaw.commands.app import CONF
from thaw.commands.errors import InputError, one_line
from thaw.data.identity import changes, class_changes
from thaw.data.module import ImageDataModule
from thaw.provenance import git_state, versions
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
    """Warn of what has changed since a completed run, which is not run again."""
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


def changes_since(run_dir: Path, checkout: Path) -> Iterator[str]:
    """A line for the versions and one for the code, where a run's are not those of now."""
    record = runs.read_record(run_dir)
    if not record:  # nothing is known of it
        return
    now, then = versions(), record.get("versions") or {}
    differing = [
        f"{name} {then.get(name)} (now {now.get(name)})"
        for name in sorted(now.keys() | then.keys())
        if now.get(name) != then.get(name)
    ]
    if differing:
        yield f"other versions than in {run_dir}: {', '.join(differing)}"
    git, patch = git_state(checkout)
    stored_patch = run_dir / runs.GIT_DIFF
    commit, commit_then = (each.get("commit") for each in (git or {}, record.get("git") or {}))
    if commit != commit_then:
        now_, then_ = commit or "unknown", commit_then or "unknown"
        yield f"another commit than in {run_dir}: {then_} (now {now_})"
    elif patch != (stored_patch.read_bytes() if stored_patch.is_file() else b""):
        yield f"other uncommitted changes than in {stored_patch}"


@functools.cache
def _identity(config: str) -> dict[str, Any]:
    """The identity of the data that a configuration in JSON describes."""
    data: ImageDataModule = create(OmegaConf.create(json.loads(config)))
    data.source.may_fetch = False
    data.setup()
    return data.identity

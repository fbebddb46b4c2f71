"""python report.py: a page, figures and tables of finished runs."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig

from thaw import storage
from thaw.commands.errors import as_input_errors
from thaw.commands.keys import check_read
from thaw.commands.selection import given_for_any_run, selected_runs

log = logging.getLogger(__name__)


def main(cfg: DictConfig) -> None:
    """Write the report of the selected runs into ``out``."""
    with as_input_errors():
        found = _selected(cfg)
        names = _labels(cfg.labels)
    log.info("report      %s: %d runs", _common_folder(found), len(found))
    keys = ("title", "num_shown", "num_played", "paper")
    shown = {key: cfg[key] for key in keys} | {"labels": names, "compare": _compared(cfg.compare)}
    shown["overrides"] = given_for_any_run()
    write(found, _out(cfg, found), cfg.loss, data_root=cfg.data.root, **shown)


def write(
    found: list[Path], out: Path, loss: Mapping[str, Any] | None = None, **shown: Any
) -> None:
    """Write the report of these runs into ``out``, and say where; ``shown`` are its options."""
    # Imported here, for it takes seconds.
    from thaw.reporting.report import write_report
    from thaw.reporting.sections import LossAxes, Options

    with as_input_errors():
        storage.check_no_links(_common_folder(found), out)
        page = write_report(found, out, Options(**shown, losses=LossAxes(**(loss or {}))))
    log.info("report      %s", page)
    if shown.get("paper"):
        log.info("paper       %s", page.with_name("paper") / "paper.tex")


def check(cfg: DictConfig) -> list[Path]:
    """Refuse a configuration that cannot give a report; returns the folder to write into."""
    return [_out(cfg, _selected(cfg))]


def _selected(cfg: DictConfig) -> list[Path]:
    check_read(cfg)
    _labels(cfg.labels)
    return selected_runs(cfg)


def _labels(text: str | None) -> dict[str, str]:
    """The names of ``labels={SETTING: NAME, ...}``, a mapping of YAML, whose keys Hydra's lacks."""
    try:
        found = yaml.load(text or "{}", yaml.BaseLoader)
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict) or not all(
        isinstance(part, str) and part for pair in found.items() for part in pair
    ):
        raise ValueError(f"labels must be {{SETTING: NAME, ...}}, got {text}")
    return found


def _compared(keys: str | Sequence[str] | None) -> list[str]:
    """The keys of ``compare``: none, one, or a list."""
    return [keys] if isinstance(keys, str) else list(keys or [])


def _out(cfg: DictConfig, found: list[Path]) -> Path:
    return Path(cfg.out) if cfg.out else _common_folder(found) / "report"


def _common_folder(run_dirs: list[Path]) -> Path:
    common = Path(os.path.commonpath([run_dir.absolute() for run_dir in run_dirs]))
    return common.relative_to(Path.cwd()) if common.is_relative_to(Path.cwd()) else common

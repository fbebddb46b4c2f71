"""python report.py: a page, figures and tables of finished runs."""

import logging
import os
from pathlib import Path

from omegaconf import DictConfig

from thaw import storage
from thaw.commands.errors import as_input_errors
from thaw.commands.keys import check_read
from thaw.commands.selection import selected_runs

log = logging.getLogger(__name__)


def main(cfg: DictConfig) -> None:
    """Write the report of the selected runs into ``out``."""
    with as_input_errors():
        found = _selected(cfg)
    log.info("report      %s: %d runs", _common_folder(found), len(found))
    write(found, _out(cfg, found), cfg.title, cfg.num_shown)


def write(found: list[Path], out: Path, title: str, num_shown: int) -> None:
    """Write the report of these runs into ``out``, and say where."""
    # Imported here, for it takes seconds.
    from thaw.reporting.report import write_report

    with as_input_errors():
        storage.check_no_links(_common_folder(found), out)
        page = write_report(found, out, title, num_shown)
    log.info("report      %s", page)


def check(cfg: DictConfig) -> list[Path]:
    """Refuse a configuration that cannot give a report; returns the folder to write into."""
    return [_out(cfg, _selected(cfg))]


def _selected(cfg: DictConfig) -> list[Path]:
    check_read(cfg)
    return selected_runs(cfg)


def _out(cfg: DictConfig, found: list[Path]) -> Path:
    return Path(cfg.out) if cfg.out else _common_folder(found) / "report"


def _common_folder(run_dirs: list[Path]) -> Path:
    common = Path(os.path.commonpath([run_dir.absolute() for run_dir in run_dirs]))
    return common.relative_to(Path.cwd()) if common.is_relative_to(Path.cwd()) else common

"""Checks all jobs of a sweep before the first runs: their values, and where they write."""

import importlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from thaw.checks import Count, Share, check_fields
from thaw.commands.directories import remember_varying
from thaw.commands.errors import Escaped, InputError, one_line
from thaw.commands.jobs import check_plugins
from thaw.privates.hydra import is_basic_sweeper, split
from thaw.reporting.labels import differing

log = logging.getLogger(__name__)
# With more jobs, only those with a value that no job before had are checked: each takes 0.2 s.
MAX_CHECKED = 100
EXCLUDED = "hydra.job.config.override_dirname.exclude_keys"
Jobs = Sequence[Sequence[str]]


@dataclass
class SearchKeys:
    """Keys of conf/hydra/sweeper/optuna.yaml."""

    direction: Literal["minimize", "maximize"]
    n_trials: Count
    n_jobs: Count
    max_failure_rate: Share
    storage: str | None
    study_name: str | None
    custom_search_space: str | None


class SweepCheck(Callback):
    """Refuses a sweep with a wrong job, or with two jobs in one directory, before its first job.

    A command's module has ``check(cfg) -> list[Path]``: it refuses what is wrong, as far as that
    takes no data and little time, and says where the job would write.
    """

    def __init__(self, command: str) -> None:
        self.command = command

    def on_multirun_start(self, config: DictConfig, **kwargs: object) -> None:
        try:
            check_plugins(config.hydra)
            check_search(config)
            jobs = jobs_of(config)
            name_what_varies(config, jobs)
            check_jobs(config, jobs, self.command)
        except Exception as error:
            raise Escaped(error) from None  # Hydra would swallow it


def check_search(config: DictConfig) -> None:
    """Refuse a search with a wrong key, or not told what to make smallest: a run for nothing."""
    if "optuna" not in config.hydra.sweeper._target_:
        return
    if OmegaConf.select(config, "sweep.metric") is None:
        raise InputError(
            "a search needs a score to make smallest: sweep.metric=val/fid, or another"
        )
    # Imported here, for it takes Lightning.
    from thaw.commands.pruning import check_pruner

    check_fields(SearchKeys, config.hydra.sweeper, "hydra.sweeper.")
    check_pruner(config)


def given_overrides(config: DictConfig) -> list[Override]:
    """What the command line and ``hydra.sweeper.params`` say."""
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    given = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    assert isinstance(given, list)
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    return parser.parse_overrides([*params, *given])


def jobs_of(config: DictConfig) -> Jobs:
    """The overrides of each job; none of a search, which chooses them one by one."""
    if not is_basic_sweeper(config.hydra.sweeper._target_):
        return []
    return split(given_overrides(config))


def varying_keys(config: DictConfig, jobs: Jobs) -> set[str]:
    """The keys that have several values in a sweep, or are searched."""
    if not jobs:
        given = [each for each in given_overrides(config) if each.is_sweep_override()]
        keys = [each.get_key_element() for each in given]
        keys += config.hydra.sweeper.get("search_space") or []
    else:
        parts = [part for job in differing(jobs) for part in job] if len(jobs) > 1 else []
        keys = [part.partition("=")[0] for part in parts]
    return {key.lstrip("+~") for key in keys}


def name_what_varies(config: DictConfig, jobs: Jobs) -> None:
    """Name the directories of a sweep by what varies, keys too that names leave out otherwise.

    Those by an override of Hydra's own, which reaches the jobs in whatever process they run.
    """
    varying = varying_keys(config, jobs)
    remember_varying(varying)
    left_out = OmegaConf.select(config, EXCLUDED) or []
    if jobs and varying & set(left_out):
        kept = [key for key in left_out if key not in varying]
        with read_write(config.hydra.overrides), open_dict(config.hydra.overrides):
            config.hydra.overrides.hydra.append(f"{EXCLUDED}=[{','.join(kept)}]")


def check_jobs(config: DictConfig, jobs: Jobs, command: str) -> None:
    """Refuse the sweep where a job is wrong, or two would write into one place.

    Raises:
        InputError: with the first such job, and the number of others.
        HydraException, OmegaConfBaseException: no configuration can be made of one.
    """
    if not jobs:
        return
    log.info("looking at %d jobs before the first begins", len(jobs))
    check = importlib.import_module(f"thaw.commands.{command}").check
    titles = [" ".join(parts) or "the same" for parts in differing(jobs)]
    refused: dict[int, str] = {}
    places: dict[Path, int] = {}
    for number in chosen(jobs):
        with composed(config, jobs[number], number) as cfg:
            try:
                claimed = check(cfg)
            except Exception as error:
                refused[number] = one_line(error)
                continue
        for place in claimed:
            if (other := places.setdefault(place.absolute(), number)) != number:
                both = " and ".join(f"{k + 1} ({titles[k]})" for k in (other, number))
                raise InputError(f"jobs {both} would both write into {place}; no job was run")
    for number, reason in refused.items():
        others = f" and {len(refused) - 1} more" if len(refused) > 1 else ""
        where = f"job {number + 1} of {len(jobs)}{others}: {titles[number]}"
        raise InputError(f"{reason} ({where}; no job was run)" if len(jobs) > 1 else reason)


def chosen(jobs: Jobs) -> Iterator[int]:
    """The numbers of the jobs that are checked."""
    values: set[str] = set()
    seen: set[tuple[str, ...]] = set()
    for number, overrides in enumerate(jobs):
        is_twice = tuple(overrides) in seen
        if len(jobs) <= MAX_CHECKED or is_twice or not values.issuperset(overrides):
            yield number
        values.update(overrides)
        seen.add(tuple(overrides))


@contextmanager
def composed(config: DictConfig, overrides: Sequence[str], number: int) -> Iterator[DictConfig]:
    """A job's configuration as the job will see it; warnings are left to the job."""
    loader, before = GlobalHydra.instance().config_loader(), HydraConfig.instance().cfg
    job = loader.load_sweep_config(config, list(overrides))
    with read_write(job.hydra), open_dict(job.hydra), read_write(job.hydra.runtime):
        job.hydra.job.id = job.hydra.job.num = number
        job.hydra.mode = config.hydra.mode
        sweep = str(OmegaConf.to_container(job.hydra.sweep, resolve=False))
        subdir = job.hydra.sweep.subdir
        # A sweep without a name takes a new folder, which is not to be made for this.
        if "${thaw.sweep_dir:" in sweep and not job.sweep.name:
            job.hydra.sweep.dir = ""
        place = Path(job.hydra.sweep.dir, subdir)
        job.hydra.runtime.output_dir = str(place.absolute())
    HydraConfig.instance().set_config(job)
    logging.disable(logging.WARNING)
    try:
        with read_write(job), open_dict(job):
            del job["hydra"]
        yield job
    finally:
        logging.disable(logging.NOTSET)
        HydraConfig.instance().cfg = before

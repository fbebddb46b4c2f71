"""The schema of the configuration's root and the resolvers that name directories."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, is_dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from annotated_types import Ge
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from omegaconf import MISSING, DictConfig, OmegaConf

from thaw.checks import Count, Positive, Seed
from thaw.groups import CHOSEN, GROUPS, ROOTS
from thaw.groups import CONF as CONF
from thaw.privates.hydra import leave_out, share_schemas

# One image has no scores.
NumScored = Literal[0] | Annotated[int, Ge(2)]
NotNegativeInt = Annotated[int, Ge(0)]
MAX_NAME = 180
# The overrides of a named sweep's job are its directory's name up to this length.
MAX_WHOLE = 60
# Between the overrides in a name, as in conf/train.yaml.
ITEM_SEP = "__"
VARYING = "THAW_VARYING"
_claimed: dict[str, str] = {}


@dataclass
class Sweep:
    """What concerns a whole sweep."""

    name: str | None = None
    retry_failed: bool = False
    metric: str | None = None


@dataclass
class CheckpointConfig:
    """When checkpoints are written, beside every epoch's end."""

    every_n_steps: Annotated[int | None, Count | None] = None


@dataclass
class Metrics:
    """Keys of the group ``metrics``; a choice of one's own may have more, which it refers to."""

    encoder: Any
    weights_path: Any
    suite: Any
    sampler: Any
    num_samples: NumScored
    every_n_epochs: Count
    final_num_samples: NumScored
    num_restored: NotNegativeInt
    num_restored_each_epoch: NotNegativeInt
    batch_size: Count


@dataclass
class _TrainKeys:
    """The keys of conf/train.yaml that are not groups."""

    seed: Seed = 0
    minutes: Annotated[float | None, Positive | None] = None
    report: bool = False
    deterministic: bool = False
    compile: bool = False
    channels_last: bool = False
    resume: Annotated[str, Literal["auto", "never"]] = "auto"
    replay: str | None = None
    init_from: str | None = None
    trusted: list[str] = field(default_factory=list)
    name: str | None = None
    sweep: Sweep = field(default_factory=Sweep)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)


# A key that is neither here nor a group is refused, also in an experiment.
TrainConfig = make_dataclass(
    "TrainConfig",
    [
        (
            group.name,
            Annotated[Any, Metrics] if group.name == "metrics" else Any,
            None if group.is_nullable else MISSING,
        )
        for group in ROOTS
    ],
    bases=(_TrainKeys,),
)
TrainConfig.__module__ = __name__  # for pickle


@dataclass
class DataRoot:
    """Keys of ``data`` where a run is given: where its data lies on this machine."""

    root: Any


@dataclass
class RunsConfig:
    """What conf/evaluate.yaml and conf/sample.yaml share."""

    run: str | None = None
    runs: Any = None
    checkpoint: str = "last"
    weights: Annotated[str, Literal["auto", "ema", "raw"]] = "auto"
    sampler: Any = None
    prior: Any = None
    num_samples: Count = MISSING
    batch_size: Count = 500
    seed: Seed = 0
    device: str = "auto"
    compile: bool = False
    trusted: list[str] = field(default_factory=list)
    data: Annotated[Any, DataRoot] = MISSING


@dataclass
class EvaluateConfig(RunsConfig):
    """Root of conf/evaluate.yaml."""

    num_samples: Annotated[int, Ge(2)] = MISSING
    num_restored: NotNegativeInt = 1000
    num_likelihood_images: Annotated[int, NumScored] = 0


@dataclass
class ExportConfig(EvaluateConfig):
    """Root of conf/export.yaml."""

    out: str | None = None
    to: Annotated[str, Literal["safetensors", "onnx", "torch", "diffusers"]] = "safetensors"
    push: str | None = None


@dataclass
class SampleConfig(RunsConfig):
    """Root of conf/sample.yaml."""

    task: Annotated[str, Literal["generate", "restore"]] = "generate"
    label: Any = None
    digit: Any = None
    out: str | None = None
    animation: Annotated[str | None, Literal["gif", "png"] | None] = "gif"
    images: Any = None
    split: Annotated[str, Literal["test", "val", "train"]] = "test"
    t: Annotated[int | None, Count | None] = None
    degraded: bool = False
    refine: bool = False


@dataclass
class ReportConfig:
    """Root of conf/report.yaml."""

    run: str | None = None
    runs: Any = None
    out: str | None = None
    title: str = "Report"
    num_shown: Count = 24


@dataclass
class TrainEncoderConfig:
    """Root of conf/train_encoder.yaml."""

    data: Any = MISSING
    epochs: Count = MISSING
    seed: Seed = 0
    out: str = "encoders"
    device: str = "auto"


@dataclass
class ImportWeightsConfig:
    """Root of conf/import_weights.yaml."""

    data: Any = MISSING
    prior: Any = None
    file: str | None = None
    out: str | None = None
    activation: str = "gelu"
    seed: Seed = 0


SCHEMAS = {
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "export": ExportConfig,
    "import_weights": ImportWeightsConfig,
    "sample": SampleConfig,
    "report": ReportConfig,
    "train_encoder": TrainEncoderConfig,
}


def text_keys(schema: type, prefix: str = "") -> Iterator[str]:
    """The keys of a schema that hold text, those of the schemas within it too."""
    for name, kind in get_type_hints(schema).items():
        if isinstance(kind, type) and is_dataclass(kind):
            yield from text_keys(kind, f"{prefix}{name}.")
        elif kind in (str, str | None):
            yield prefix + name


def groups(command: str) -> list[str]:
    """The groups that a command takes choices of, those within others too."""
    if command == "train":
        return list(CHOSEN)
    defaults = OmegaConf.load(CONF / f"{command}.yaml").defaults
    roots = {str(key) for entry in defaults if OmegaConf.is_dict(entry) for key in entry}
    return sorted(group.name for group in GROUPS if group.root in roots)


def choices(*names: str) -> str:
    """A line a group with its choices, of ``--config-dir`` too; all groups of train.py if none."""
    loader = GlobalHydra.instance().config_loader()
    return "".join(
        f"{name}: {', '.join(sorted(loader.get_group_options(name)))}\n"
        for name in names or groups("train")
    )


def register() -> None:
    """Make the schemas and resolvers known to Hydra."""
    share_schemas()
    store = ConfigStore.instance()
    for command, schema in SCHEMAS.items():
        store.store(f"{command}_schema", schema)
    _prefer_own_launchers(store)
    # Kept in the configuration: the processes of a launcher must not claim directories again.
    OmegaConf.register_new_resolver("thaw.unique", claim_directory, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("thaw.run_name", run_name, replace=True)
    OmegaConf.register_new_resolver("thaw.sweep_dir", sweep_directory, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("thaw.job_name", job_name, replace=True)
    OmegaConf.register_new_resolver("thaw.choices", choices, replace=True)


def _prefer_own_launchers(store: ConfigStore) -> None:
    """Take the plugins' schemas for what conf/hydra/ has by the same name out of the store.

    Hydra would check the files against them, which it calls deprecated.
    """
    paths = list(CONF.glob("hydra/*/*.yaml"))
    leave_out({(f"hydra/{path.parent.name}", path.stem) for path in paths})
    Plugins.instance()  # finding the plugins stores their schemas
    for path in paths:  # of those that had been found before
        store.repo.get("hydra", {}).get(path.parent.name, {}).pop(path.name, None)


def run_name(override_dirname: str, name: str | None = None) -> str:
    """A directory name that says what was overridden, safe in a shell and short enough."""
    text = name or override_dirname or "default"
    safe = _safe(text)
    if len(safe) > MAX_NAME:
        # ``max_epochs=5`` of ``trainer.max_epochs=5``, and the seed first where that is too long.
        parts = re.sub(rf"(^|{ITEM_SEP})[^=]*\.(?=\w+=)", r"\1", text).split(ITEM_SEP)
        if len(_safe(ITEM_SEP.join(parts))) > MAX_NAME:
            parts.sort(key=lambda part: not part.startswith("seed="))
        digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
        safe = f"{_safe(ITEM_SEP.join(parts))[:MAX_NAME]}~{digest}"
    return safe


def _safe(text: str) -> str:
    return re.sub(r"[^\w.=+-]+", "-", text).strip("-.") or "default"


def remember_varying(keys: Iterable[str]) -> None:
    """Note which keys have several values in a sweep, for the names of its jobs.

    In the environment, which the processes of every launcher have too.
    """
    os.environ[VARYING] = ITEM_SEP.join(keys)


def _what_varies(override_dirname: str) -> tuple[list[str], list[str]]:
    """The overrides of a job by keys that vary in its sweep, and the others."""
    keys = os.environ.get(VARYING, "").split(ITEM_SEP)
    parts = override_dirname.split(ITEM_SEP)
    varying = [part for part in parts if part.partition("=")[0].lstrip("+~") in keys]
    return varying, [part for part in parts if part not in varying]


def _brief(override_dirname: str) -> str:
    """What varies in a job's sweep; where nothing does, what kind of model it trains."""
    varying, others = _what_varies(override_dirname)
    kind = [part for part in others if part.startswith(("experiment=", "degradation="))]
    return ITEM_SEP.join(varying or kind)


def sweep_directory(parent: str, time: str, sweep_name: str | None) -> str:
    """``parent/NAME`` of a named sweep, there or not; else a folder of this process alone."""
    return f"{parent}/{run_name(sweep_name)}" if sweep_name else claim_directory(f"{parent}/{time}")


def job_name(
    number: int,
    override_dirname: str,
    name: str | None,
    sweep_name: str | None,
    *,
    _parent_: DictConfig,
) -> str:
    """A job's directory: its number and what varies, in a folder that is this sweep's alone.

    In ``hydra.sweep.dir=DIR``, which may be another sweep's too, its number and all its overrides;
    with a name of the sweep what :func:`lasting_name` says. ``_parent_`` is the node hydra.sweep.
    """
    if sweep_name:
        return lasting_name(Path(_parent_.dir), override_dirname)
    if "${thaw.sweep_dir:" in str(OmegaConf.to_container(_parent_, resolve=False)):
        parts = _brief(override_dirname)
    else:
        parts = ITEM_SEP.join(part for group in _what_varies(override_dirname) for part in group)
    return f"{number}_{run_name(parts, name)}"


def lasting_name(folder: Path, override_dirname: str) -> str:
    """The directory of a job in the folder of a named sweep, found again by any command.

    Its overrides; where they are long, what varies and a digest of all of them. What varies may
    differ between commands, so a directory with the digest is the job's whatever else it is called.
    So is one with all the overrides, as earlier versions made them.
    """
    whole = run_name(override_dirname)
    if len(whole) <= MAX_WHOLE or (folder / whole).is_dir():
        return whole
    digest = hashlib.blake2b(override_dirname.encode(), digest_size=6).hexdigest()
    there = sorted(path.name for path in folder.glob(f"*~{digest}"))
    return there[0] if there else f"{run_name(_brief(override_dirname))}~{digest}"


def release_directories() -> None:
    """Have the next run of this process claim a directory of its own, as another process would."""
    _claimed.clear()


def claim_directory(path: str) -> str:
    """``path``, or ``path-2``, ... : created now, by this process alone; asked again, the same."""
    number = 1
    while path not in _claimed:
        candidate = f"{path}-{number}" if number > 1 else path
        with suppress(FileExistsError):
            os.makedirs(candidate)
            _claimed[path] = candidate
        number += 1
    return _claimed[path]

"""The schema of each command's configuration, and what is registered with Hydra."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, is_dataclass, make_dataclass
from typing import Annotated, Any, Literal, get_type_hints

from annotated_types import Ge, Interval, MinLen
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from omegaconf import MISSING, OmegaConf

from thaw.checks import Count, Positive, Seed
from thaw.commands import directories
from thaw.groups import CHOSEN, GROUPS, ROOTS
from thaw.groups import CONF as CONF
from thaw.privates.hydra import leave_out, share_schemas

# One image has no scores.
NumScored = Literal[0] | Annotated[int, Ge(2)]
Methods = Annotated[Sequence[Literal["repaint", "ddnm", "dps"]], MinLen(1)]
NotNegativeInt = Annotated[int, Ge(0)]
Port = Annotated[int, Interval(ge=0, le=65535)]


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
    final_num_draws: Count = 1


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
class RunConfig:
    """What a command shares that loads a run."""

    run: str | None = None
    checkpoint: str = "last"
    weights: Annotated[str, Literal["auto", "ema", "raw"]] = "auto"
    sampler: Any = None
    prior: Any = None
    device: str = "auto"
    compile: bool = False
    trusted: list[str] = field(default_factory=list)
    data: Annotated[Any, DataRoot] = MISSING


@dataclass
class DemoConfig(RunConfig):
    """Root of conf/demo.yaml."""

    host: str = "127.0.0.1"
    port: Port = 7860


@dataclass
class RunsConfig(RunConfig):
    """What conf/evaluate.yaml and conf/sample.yaml share."""

    runs: Any = None
    num_samples: Count = MISSING
    batch_size: Count = 500
    seed: Seed = 0


@dataclass
class EvaluateConfig(RunsConfig):
    """Root of conf/evaluate.yaml."""

    num_samples: Annotated[int, Ge(2)] = MISSING
    num_draws: Count = 1
    num_restored: NotNegativeInt = 1000
    num_likelihood_images: Annotated[int, NumScored] = 0


@dataclass
class ExportConfig(EvaluateConfig):
    """Root of conf/export.yaml."""

    out: str | None = None
    to: Annotated[str, Literal["safetensors", "onnx", "torch", "diffusers"]] = "safetensors"
    push: str | None = None


@dataclass
class ZeroShot:
    """How the methods of a zero-shot rival work; null is each one's own way."""

    num_steps: Annotated[int | None, Count | None] = None
    repeats: Annotated[int | None, Count | None] = None
    step_size: Annotated[float | None, Positive | None] = None


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
    partners: str | None = None
    degraded: bool = False
    refine: bool = False
    against: str | None = None
    methods: Annotated[Any, Methods | None] = None
    zero_shot: ZeroShot = field(default_factory=ZeroShot)


@dataclass
class ReportLoss:
    """How a report draws the losses of several runs."""

    over: Annotated[str, Literal["epoch", "step"]] = "epoch"
    smooth: Count = 1


@dataclass
class ReportConfig:
    """Root of conf/report.yaml."""

    run: str | None = None
    runs: Any = None
    out: str | None = None
    title: str = "Report"
    num_shown: Count = 24
    num_played: NotNegativeInt = 8
    compare: Annotated[Any, str | Sequence[str] | None] = None
    labels: str | None = None
    loss: ReportLoss = field(default_factory=ReportLoss)
    paper: bool = False
    data: Annotated[Any, DataRoot] = MISSING


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
    "demo": DemoConfig,
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
    for name, function, is_kept in (
        ("unique", directories.claim_directory, True),
        ("run_name", directories.run_name, False),
        ("sweep_dir", directories.sweep_directory, True),
        ("job_name", directories.job_name, False),
        ("choices", choices, False),
    ):
        OmegaConf.register_new_resolver(f"thaw.{name}", function, replace=True, use_cache=is_kept)


def _prefer_own_launchers(store: ConfigStore) -> None:
    """Take the plugins' schemas for what conf/hydra/ has by the same name out of the store.

    Hydra would check the files against them, which it calls deprecated.
    """
    paths = list(CONF.glob("hydra/*/*.yaml"))
    leave_out({(f"hydra/{path.parent.name}", path.stem) for path in paths})
    Plugins.instance()  # finding the plugins stores their schemas
    for path in paths:  # of those that had been found before
        store.repo.get("hydra", {}).get(path.parent.name, {}).pop(path.name, None)

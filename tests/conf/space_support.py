"""The configuration space of train.py, and what one configuration comes to: a step or a line."""

import copy
import resource
import shutil
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning.strategies import SingleDeviceStrategy

from thaw.commands import config, train
from thaw.commands.arguments import prepare_arguments
from thaw.commands.errors import InputError, as_input_errors, outcome
from thaw.groups import SHARED
from thaw.training.training import NothingTrainedError

CONF = Path(__file__).resolve().parents[2] / "conf"
# Of the processor, and on the clock, where another process may have the processor.
PATIENCE_S, PATIENCE_ON_CLOCK_S = 30, 600
MEMORY_BYTES = 3 * 2**30
# As on the command line: a group inside a group is objective/weighting.
CHOICES: dict[str, list[str]] = {}
for _path in sorted(CONF.glob("*/**/*.yaml")):
    # What starts other processes has tests of its own, in tests/scaling.
    if _path.parts[len(CONF.parts)] in ("hydra", *SHARED) or _path == CONF / "trainer/ddp.yaml":
        continue
    if _path.parent.name == "logger" and _path.stem in ("wandb", "mlflow", "comet"):
        continue
    CHOICES.setdefault(_path.parent.relative_to(CONF).as_posix(), []).append(_path.stem)
# These fit (nearly) whatever else is chosen; the others do not.
PEACEFUL = ("data", "data/augment", "model", "optimizer", "lr_scheduler", "ema", "callbacks",
            "trainer", "objective", "objective/timesteps")  # fmt: skip
RISKY = ("prediction", "sampler", "sampler/grid", "prior", "objective/weighting", "metrics",
         "schedule", "experiment", "debug", "logger")  # fmt: skip
# Small enough for a test; what a configuration lacks is left out.
TINY = {
    "data.batch_size": "4",
    "model.hidden": "[4]",
    "model.kernel_size": "3",
    "model.width": "8",
    "model.heads": "2",
    "model.multipliers": "[1]",
    "model.num_blocks": "1",
    "model.attention_size": "0",
    "schedule.timesteps": "20",
    "prior.num_images": "16",
    "prior.components": "2",
    "degradation.num_partners": "8",
    "metrics.sampler.num_steps": "5",
    "callbacks.forward_process": "null",  # a figure takes longer than all the rest
}
# What Python or torch says of a mistake that nobody looked for is no clear line.
UNCLEAR = (
    "Traceback",
    "object has no attribute",
    "not supported between",
    "unexpected keyword",
    "invalid literal",
    "not iterable",
    "not subscriptable",
    "not callable",
    "cannot unpack",
    "unsupported operand",
    "allocate",
    "Expected all tensors",
    "an integer is required",
    "expected str, bytes",
    "'NoneType'",
)


@dataclass(frozen=True)
class Attempt:
    """What a configuration came to: ``trained``, ``accepted`` (not run here), or ``refused``."""

    code: int
    line: str
    end: str


class OneStepDone(BaseException):
    """The first step of the optimiser is over."""


class Hung(BaseException):
    """It took longer than anybody would wait."""


class StopAfterOneStep(pl.Callback):
    """Ends training when a step has been taken."""

    def on_train_batch_end(self, *_: Any) -> None:
        raise OneStepDone


@cache
def composed(overrides: tuple[str, ...]) -> DictConfig:
    """As the command composes it, with Hydra's own node; not to be changed."""
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", list(overrides), return_hydra_config=True)


@cache
def foundations() -> list[tuple[str, ...]]:
    """Group choices such that every choice of every group is in one of them."""
    peaceful = []
    for number in range(len(CHOICES["degradation"])):
        chosen = {
            group: CHOICES[group][number % len(CHOICES[group])]
            for group in ("degradation", *PEACEFUL)
        }
        if chosen["degradation"] == "paired":
            chosen["data"] = "paired_folder"
        metrics = "mnist" if chosen["data"].startswith("mnist") else "none"
        peaceful.append(tuple(f"{group}={name}" for group, name in chosen.items()))
        peaceful[-1] += (f"metrics={metrics}",)
    rows = zip_longest(*(CHOICES[group] for group in RISKY))
    grounds = ("gaussian", "column_random", "column_noise")
    risky = [
        (
            "data=mnist_5k",
            *(f"{group}={name}" for group, name in zip(RISKY, row, strict=True) if name),
            *([] if row[RISKY.index("experiment")] else [f"degradation={grounds[number % 3]}"]),
        )
        for number, row in enumerate(rows)
    ]
    straight = [
        (
            f"data={'paired_folder' if end == 'paired' else 'cifar10'}",
            *("metrics=none", "degradation=bridge", f"degradation/to={end}"),
        )
        for end in CHOICES["degradation/to"]
    ]
    return [*peaceful, *risky, *straight]


def keys_of(cfg: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every key that is no mapping, dotted, with its value."""
    for key in cfg:
        node, name = cfg._get_node(key), f"{path}{key}"
        is_plain = node._is_none() or node._is_missing() or node._is_interpolation()
        if isinstance(node, DictConfig) and not is_plain:
            yield from keys_of(node, f"{name}.")
        else:
            yield name, None if is_plain else cfg[key]


@cache
def keys(foundation: tuple[str, ...]) -> dict[str, Any]:
    """The keys of a foundation and their values, Hydra's own left out."""
    cfg = copy.copy(composed(foundation))
    with open_dict(cfg):
        del cfg["hydra"]
    return dict(keys_of(cfg))


def tiny(foundation: tuple[str, ...], changed: Sequence[str]) -> list[str]:
    """The overrides that make a foundation small, but for what is changed anyway."""
    names = keys(foundation)
    return [
        f"{key}={value}"
        for key, value in TINY.items()
        if any(name == key or name.startswith(f"{key}.") for name in names)
        and not any(key in override for override in changed)
    ]


def configuration(foundation: tuple[str, ...], changes: Sequence[str]) -> DictConfig:
    """The foundation with changes, by Hydra's own code.

    To compose takes half a second, so that is done once a foundation; what ``compose`` would do
    with the changes of values is done here, on a copy.
    """
    arguments = prepare_arguments([*tiny(foundation, changes), *changes], "train")
    parsed = OverridesParser.create().parse_overrides(arguments)
    if any(override.key_or_group in CHOICES for override in parsed):
        return copy.deepcopy(composed((*foundation, *arguments)))
    cfg = copy.deepcopy(composed(foundation))
    try:
        ConfigLoaderImpl._apply_overrides_to_config(parsed, cfg)
    except (HydraException, OmegaConfBaseException):
        raise
    except Exception:
        return copy.deepcopy(composed((*foundation, *arguments)))
    return cfg


def attempt(foundation: tuple[str, ...], changes: Sequence[str], run_dir: Path) -> Attempt:
    """Everything that the command does before training, and a step by the run's own trainer."""
    shutil.rmtree(run_dir / "checkpoints", ignore_errors=True)  # of the one before
    try:
        with watched():
            return _attempt(foundation, changes, run_dir)
    except Exception as error:
        code, line = outcome(error, changes)
        return Attempt(code, line, "refused")
    finally:
        torch.use_deterministic_algorithms(False)
        torch.autograd.set_detect_anomaly(False)


def _attempt(foundation: tuple[str, ...], changes: Sequence[str], run_dir: Path) -> Attempt:
    cfg = configuration(foundation, changes)
    with open_dict(cfg):
        cfg.hydra.runtime.output_dir = str(run_dir)
    HydraConfig.instance().set_config(cfg)
    task = copy.copy(cfg)
    with open_dict(task):
        del task["hydra"]
    with as_input_errors():
        training = train.ready(task, run_dir)
    trainer = training.trainer
    # Several processes would each start these tests.
    if not isinstance(trainer.strategy, SingleDeviceStrategy) or trainer.world_size > 1:
        return Attempt(0, "", "accepted")
    trainer.callbacks.append(StopAfterOneStep())
    try:
        training.fit()
    except OneStepDone:
        return Attempt(0, "", "trained")
    except NothingTrainedError as error:
        raise InputError(str(error)) from error
    raise AssertionError("the trainer took no step")


@contextmanager
def watched() -> Iterator[None]:
    """Ends what hangs, and lets no more memory be had than a small machine has."""

    def give_up(number: int, frame: FrameType | None) -> None:
        raise Hung

    timers = {
        signal.ITIMER_PROF: (signal.SIGPROF, PATIENCE_S),
        signal.ITIMER_REAL: (signal.SIGALRM, PATIENCE_ON_CLOCK_S),
    }
    for timer, (number, seconds) in timers.items():
        signal.signal(number, give_up)
        signal.setitimer(timer, seconds)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    allowed = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (allowed, limits[1]))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def complaint(found: Attempt, named: Sequence[str]) -> str | None:
    """What is wrong with the way a configuration ended; None where it is as promised.

    Args:
        found: the end.
        named: words of which the line must have one: the keys and choices that it may be about.
    """
    if found.code == 0:
        return None
    if found.code != 2:
        return f"exit code {found.code}"
    if len(found.line.splitlines()) != 1 or len(found.line) > 1500:
        return "not one line"
    unclear = [words for words in UNCLEAR if words in found.line]
    if unclear:
        return f"not clear: {unclear}"
    return None if any(word in found.line for word in named) else f"names none of {named}"


def last_of(key: str) -> str:
    return key.rpartition(".")[2]


def words_of(foundation: tuple[str, ...], changes: Sequence[str]) -> list[str]:
    """Of which the line of a refusal must have one: its keys, or the choices it was made of."""
    ends = (".", ":", "=", " must")
    words = [*TINY]  # given too
    words += [f"{override.split('=')[0]}{end}" for override in foundation for end in ends]
    words += [override.split("=")[1] for override in foundation if override.startswith(RISKY)]
    # An experiment chooses parts of its own, such as the sampler.
    if any(override.startswith("experiment=") for override in foundation):
        words += [f"{group}{end}" for group in CHOICES for end in ends]
    for change in changes:
        key, _, value = change.lstrip("+~").partition("=")
        words += [key, last_of(key), *(f"{key.split('.')[0]}{end}" for end in ends)]
        words += [f"{key}/{value}"] if key in CHOICES else []
        # Lightning says the one for the other.
        words += ["limit_train_batches"] if last_of(key) == "overfit_batches" else []
    return words

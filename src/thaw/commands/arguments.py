"""Prepares the arguments of a command for Hydra: options first, text quoted as it was typed."""

import argparse
import re
from collections.abc import Collection, Iterator, Sequence
from os.path import exists
from pathlib import Path
from typing import NoReturn

import yaml
from hydra.conf import HydraConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Sweep
from hydra.errors import HydraException

from thaw import runs
from thaw.commands import config
from thaw.commands.errors import InputError
from thaw.commands.stored import compose_from, replayed, stored_overrides
from thaw.privates.hydra import argument_parser, options_of

# Keys of groups that hold a path or a name; the schema of a command has its own.
TEXT_IN_GROUPS = (
    "data.root",
    "data.folder",
    "data.clean",
    "data.degraded",
    "data.cache",
    "degradation.partners.root",
    "metrics.encoder",
    "metrics.weights_path",
    "logger.tensorboard.save_dir",
    "logger.tensorboard.name",
    "logger.tensorboard.version",
    "logger.csv.save_dir",
    "logger.csv.name",
    "logger.csv.version",
    "logger.wandb.save_dir",
    "logger.wandb.project",
    "logger.mlflow.tracking_uri",
    "logger.mlflow.experiment_name",
    "logger.mlflow.artifact_location",
    "logger.comet.project",
    "logger.comet.workspace",
    "logger.comet.offline_directory",
)
# Paths, of which there may be a list.
TEXT_OR_LIST = ("runs", "images")
PLAIN = r"[\w./*?~@:+-]*"
# A value of a sweep: quoted, or without a comma that is not within brackets.
QUOTED = r"""(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")"""
VALUE = re.compile(
    rf"(?:^|,)(\s*{QUOTED}\s*(?=,|$)|(?:\([^()]*\)|\[[^][]*\]|\{{[^{{}}]*\}}|[^,])*)", re.DOTALL
)


def prepare_arguments(arguments: Sequence[str], command: str) -> list[str]:
    """Replace ``resume=DIR`` by the run's overrides, and quote text that Hydra would misread.

    Options that only show something, such as --cfg, show the first job of a sweep.
    """
    for argument in arguments:
        if any("\ud800" <= letter <= "\udfff" for letter in argument):
            raise InputError(f"{argument!a} is no text in UTF-8")
    given = _parse(arguments)
    overrides = given.overrides
    if command == "train" and (run_dir := resumed(overrides)) is not None:
        overrides = _resume_overrides(run_dir, overrides)
    is_sweep = given.multirun or "hydra.mode=MULTIRUN" in overrides
    if command == "import_weights":
        overrides = [f"file={each}" if _is_file(each) else each for each in overrides]
    texts = text_keys(command)
    overrides = [_readable(override, texts, is_sweep) for override in overrides]
    if given.cfg or given.info or given.help or given.hydra_help:
        given.multirun = given.run = False
        overrides = [_first(override) if is_sweep else override for override in overrides]
    if command != "train":  # a stored run's own sampler is changed, which is not composed
        keys = ("sampler.", "prior.")
        overrides = [f"++{each}" if each.startswith(keys) else each for each in overrides]
    return [*_options(given), *overrides]


def _is_file(argument: str) -> bool:
    """Whether an argument is the file that is imported, given without its key."""
    return exists(argument) or not ("=" in argument or argument.startswith("~"))


def prepared(arguments: Sequence[str], command: str) -> tuple[str, list[str]]:
    """The name of the configuration to compose, and the arguments as Hydra takes them."""
    ready = prepare_arguments(arguments, command)
    run_dir = replayed(ready) if command == "train" else None
    return (compose_from(run_dir, ready, config.CONF) if run_dir else command), ready


def resumed(overrides: Sequence[str]) -> Path | None:
    """The run directory that ``resume=DIR`` among the overrides names."""
    given = [override.partition("=")[2] for override in overrides if override[:7] == "resume="]
    if not given or given[-1] in ("auto", "never"):
        return None
    if any(override.startswith("replay=") for override in overrides):
        raise InputError("give either resume=DIR or replay=DIR")
    return Path(str(_value(_readable(f"resume={given[-1]}", {"resume"}))))


def folders_of(run_dir: Path) -> list[str]:
    """The arguments by which a run found configuration outside of conf/, as its files say."""
    try:
        stored = yaml.safe_load((run_dir / runs.HYDRA).read_text(encoding="utf-8"))
        sources = stored["hydra"]["runtime"]["config_sources"]
        paths = [source["path"] for source in sources if source["provider"] == "command-line"]
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError, RecursionError):
        return []
    return [f"--config-dir={path}" for path in paths]


def text_keys(command: str) -> set[str]:
    """The keys of a command that hold text, such as a path or a name."""
    schema = config.text_keys(config.SCHEMAS[command])
    return {*schema, *config.text_keys(HydraConf, "hydra."), *TEXT_IN_GROUPS, *TEXT_OR_LIST}


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argument_parser()

    def refuse(message: str) -> NoReturn:
        raise InputError(message)

    parser.error = refuse  # type: ignore[method-assign]
    given = parser.parse_intermixed_args(arguments)
    if (given.package and not given.cfg) or (given.resolve and not (given.cfg or given.help)):
        raise InputError("--package (-p) and --resolve say how --cfg shows: give --cfg=job too")
    if given.multirun and given.run:
        raise InputError("give either --run or --multirun")
    return given


def _options(given: argparse.Namespace) -> Iterator[str]:
    """The options that were given, each in one word with its value."""
    for action in options_of(argument_parser()):
        value = getattr(given, action.dest, action.default)
        if value != action.default:
            name = action.option_strings[0]
            yield name if value is True else f"{name}={value}"


def _resume_overrides(run_dir: Path, overrides: Sequence[str]) -> list[str]:
    lists = [override for override in overrides if override.startswith("trusted=")]
    trusted = re.findall(r"[\w.]+", lists[-1].removeprefix("trusted=")) if lists else []
    changes = [override for override in overrides if not override.startswith("resume=")]
    # What was wished and trusted then is no wish of now.
    stored = [
        override
        for override in stored_overrides(run_dir, trusted)
        if not override.startswith(("resume=", "trusted="))
    ]
    return [*stored, *changes, f"hydra.run.dir={run_dir}"]


def _readable(override: str, texts: Collection[str], is_sweep: bool = False) -> str:
    """An override with its text quoted, each value of a sweep for itself."""
    key, equals, value = override.partition("=")
    plain_key = key.lstrip("+~")
    is_text = plain_key in texts
    is_list = plain_key in TEXT_OR_LIST
    if not _is_understood(override, is_text, is_list, is_sweep):
        if not equals:
            raise InputError(
                f"{override!r} must be KEY=VALUE or GROUP=CHOICE, or ~KEY to leave out"
            )
        # Hydra's own keys are not swept over, and a path that is there is one.
        if is_sweep and not plain_key.startswith("hydra") and not (is_text and exists(value)):
            value = ",".join(_one(each.strip(), is_text, is_list) for each in VALUE.findall(value))
        else:
            value = _one(value, is_text, is_list)
    if not plain_key or _value(f"{key}={value}") is Unreadable:
        raise InputError(f"{key!r} is no key: it has letters without accents, digits, _ and dots")
    return f"{key}={value}" if equals else override


def _one(value: str, is_text: bool, is_list: bool) -> str:
    """A value alone, in quotes where Hydra would not understand it as it is meant."""
    if _is_understood(f"key={value}", is_text, is_list):
        return value
    if is_list and re.fullmatch(r"\[.*\]", value, re.DOTALL):
        entries = VALUE.findall(value[1:-1])
        return f"[{','.join(_one(entry.strip(), True, False) for entry in entries)}]"
    # Within quotes, Hydra's grammar reads backslashes as escapes before a quote or the end only.
    return "'" + re.sub(r"(\\*)('|$)", r"\1\1\2", value).replace("'", "\\'") + "'"


class Unreadable:
    """Stands for the value of an override that Hydra's grammar does not know."""


def _value(override: str) -> object:
    try:
        return OverridesParser.create().parse_override(override).value()
    except HydraException:
        return Unreadable
    except (ValueError, RecursionError):  # a number of thousands of digits: not text, at least
        return 0


def _is_understood(override: str, is_text: bool, is_list: bool, is_sweep: bool = False) -> bool:
    """Whether Hydra reads an override as it is meant: of text, as it was typed."""
    value, typed = _value(override), override.partition("=")[2]
    if value is Unreadable or not is_text:
        return value is not Unreadable
    if isinstance(value, Sweep):  # of a function such as choice(a,b), not by commas alone
        return is_sweep and re.match(r"\w+\(", typed) is not None
    if isinstance(value, list):
        return is_list
    if isinstance(value, str) and (re.fullmatch(QUOTED, typed, re.DOTALL) or "${" in typed):
        return True
    return value is None or (value == typed and re.fullmatch(PLAIN, typed, re.ASCII) is not None)


def _first(override: str) -> str:
    """An override with the first value alone where there are several of a sweep."""
    parsed = OverridesParser.create().parse_override(override)
    if not parsed.is_sweep_override():
        return override
    value = parsed.value()
    if isinstance(value, Glob):
        names = sorted(path.stem for path in (config.CONF / parsed.key_or_group).glob("*.yaml"))
        first = next(iter(value.filter(names)), "null")
    elif isinstance(value, IntervalSweep):
        first = str(value.start)
    else:
        first = next(parsed.sweep_string_iterator())
    return f"{override.partition('=')[0]}={first}"

"""What is typed reaches the configuration as it was meant: text, sweeps, options, resume=."""

import inspect
import types
import typing
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands_support import LEAST, record
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import get_object
from hypothesis import given, settings
from hypothesis import strategies as st

from thaw.commands.app import CONF
from thaw.commands.arguments import TEXT_IN_GROUPS, prepare_arguments, text_keys
from thaw.commands.errors import InputError

TEXTS = ["größe", "test (2)", "1e5", "007", "true", "[a]", "a: b", "a,b", "it's", 'an "x"',
         "outputs/x (copy)/epoch=6.ckpt", "~/x", " x ", "tail\\", "9" * 5000, "(" * 2000,
         "choice(a,b)", ""]  # fmt: skip


def values(*arguments: str, command: str = "train") -> list[object]:
    """What Hydra reads of the arguments, each value of a sweep for itself."""
    found: list[object] = []
    for argument in prepare_arguments(arguments, command):
        if argument.startswith("--"):
            continue
        override = OverridesParser.create().parse_override(argument)
        several = override.is_sweep_override()
        found += list(override.sweep_iterator()) if several else [override.value()]
    return [getattr(value, "text", value) for value in found]


@pytest.mark.parametrize(
    "key", ["name", "sweep.name", "data.root", "metrics.encoder", "hydra.run.dir"]
)
def test_text_is_taken_as_it_was_typed(key: str) -> None:
    for text in TEXTS:
        assert values(f"{key}={text}") == values(f"++{key}={text}") == [text]


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_is_taken_as_it_was_typed(text: str) -> None:
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    if "${" not in text and text.lower() != "null" and not is_quoted:
        assert values(f"title={text}", command="report") == [text]
        assert values(f"runs=x{text}", f"out={text}", command="report") == [f"x{text}", text]


def test_quotes_null_and_interpolations_keep_their_meaning() -> None:
    assert values("name='a b'", 'sweep.name="c,d"', "name=null") == ["a b", "c,d", None]
    assert values("data.root=${oc.env:HOME}/x y") == ["${oc.env:HOME}/x y"]


def test_what_hydra_cannot_read_is_text_for_any_key_and_numbers_stay_numbers() -> None:
    assert values("model.activation=größe", "+a.b=(") == ["größe", "("]
    assert values("runs=[a b,größe,'c,d']", command="report") == [["a b", "größe", "c,d"]]
    assert values("optimizer.lr=1e-3", "model.hidden=[4,8]", "seed=3") == [0.001, [4, 8], 3]


def test_a_sweep_takes_commas_apart_and_each_value_as_text(tmp_path: Path) -> None:
    expected = ["a", "größe", "1e5", "c,d", "x (e,f)"]
    assert values("-m", "name=a,größe, 1e5,'c,d',x (e,f)") == expected
    assert values("-m", "name=choice(a,b)", "seed=1,2") == ["a", "b", 1, 2]
    assert values("hydra.mode=MULTIRUN", "name=ä,b")[1:] == ["ä", "b"]
    assert values("-m", "hydra.sweep.dir=a, b") == ["a, b"]
    there = tmp_path / "a,b"
    there.mkdir()
    assert values("-m", f"run={there}", command="sample") == [str(there)]


# Parameters that choose from words, which no number is.
WORDS = {
    "accelerator", "activation", "at_epochs", "axis", "centre", "condition", "fourier",
    "gradient_clip_algorithm", "growth", "interpolation", "mode", "order", "padding",
    "parameterization", "precision", "prediction", "profiler", "strategy", "variance",
}  # fmt: skip


def test_every_parameter_that_holds_text_is_known_to() -> None:
    """A new one in conf/ is a path or a name, so of TEXT_IN_GROUPS, or a word from a list."""
    found = {}
    for path in CONF.rglob("*.yaml"):
        group = path.parent.relative_to(CONF).as_posix().replace("/", ".")
        node = yaml.safe_load(path.read_text())
        node.pop("hydra", None)
        if not group.startswith("hydra"):
            found |= dict(text_parameters(node, group))
    assert {"data.root", "data.folder", "metrics.suite.encoder.name_or_path"} <= found.keys()
    unknown = {key for key, name in found.items() if name not in WORDS} - {*TEXT_IN_GROUPS}
    # Those that refer to a key of the group's own.
    assert unknown == {"metrics.suite.encoder.name_or_path", "metrics.suite.encoder.weights_path"}


def text_parameters(node: object, prefix: str) -> typing.Iterator[tuple[str, str]]:
    if not isinstance(node, dict):
        return
    if target := node.get("_target_"):
        for name, parameter in inspect.signature(
            get_object(target), eval_str=True
        ).parameters.items():
            kinds = typing.get_args(parameter.annotation)
            is_union = isinstance(parameter.annotation, types.UnionType)
            is_text = parameter.annotation in (str, Path) or (is_union and {str, Path} & {*kinds})
            if name in node and is_text:
                yield f"{prefix}.{name}".lstrip("."), name
    for key, value in node.items():
        yield from text_parameters(value, f"{prefix}.{key}")


def test_the_schemas_say_which_keys_of_a_command_hold_text() -> None:
    assert {"name", "sweep.name", "sweep.metric", "replay", "hydra.sweep.dir"} <= text_keys("train")
    assert {"run", "checkpoint", "data.root", "out", "images"} <= text_keys("sample")
    assert not {"seed", "trainer.max_epochs", "trusted"} & text_keys("train")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["seed"], "'seed' must be KEY=VALUE"),
        (["größe=1"], "'größe' is no key"),
        (["=3"], "is no key"),
        (["--foo"], "unrecognized arguments: --foo"),
        (["-p", "model"], "give --cfg=job too"),
        (["--resolve"], "give --cfg=job too"),
        (["-r", "-m"], "either --run or --multirun"),
        (["--cfg"], "expected one argument"),
    ],
)
def test_arguments_that_cannot_be_read_are_refused(arguments: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        prepare_arguments(arguments, "train")


@pytest.mark.parametrize(
    "options", [["--config-dir", "D"], ["-cd", "D"], ["--config-dir=D"], ["--config-d", "D"]]
)
def test_an_option_keeps_its_value_wherever_it_stands(options: list[str], tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "overrides.yaml").write_text("- seed=3\n- name='größe'\n")
    expected = ["--config-dir=D", "seed=3", "name='größe'", "seed=4", f"hydra.run.dir={tmp_path}"]
    for given_ in (
        [*options, f"resume={tmp_path}", "seed=4"],
        [f"resume={tmp_path}", *options, "seed=4"],
        [f"resume={tmp_path}", "seed=4", *options],
    ):
        assert prepare_arguments(given_, "train") == expected
    several = ["-cn", "x", "seed=1", "-cp", "y", "-i", "defaults"]
    assert prepare_arguments(several, "train") == [
        "--config-path=y", "--config-name=x", "--info=defaults", "seed=1"
    ]  # fmt: skip


def test_what_only_shows_something_shows_a_sweep_s_first_job() -> None:
    shown = {
        "seed=2,1": "seed=2",
        "seed=range(3,5)": "seed=3",
        "name=ä,b": "name='ä'",
        "seed=7": "seed=7",
    }
    for option in ("--cfg=job", "--info=config", "--help"):
        assert prepare_arguments(["-m", option, *shown], "train") == [option, *shown.values()]


def test_a_sweep_of_names_is_resumed_by_them(fork_command: Any, tmp_path: Path) -> None:
    names = "name=größe (2),1e5"
    finished = fork_command("train", "-m", *LEAST, names, "logger=none", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    found = {record(path.parent)["name"]: path.parent for path in tmp_path.rglob("run.json")}
    assert set(found) == {"größe (2)", "1e5"}
    run_dir = found["größe (2)"]
    finished = fork_command("train", f"resume={run_dir}", "trainer.max_epochs=2", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert (record(run_dir)["name"], record(run_dir)["epochs"]) == ("größe (2)", 2)

"""docs/configuration.md against conf/: read anew with plain YAML, composed by Hydra, and broken."""

import importlib.util
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from thaw.commands import config
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.bridge import Bridge
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.groups import GROUPS, OF_HYDRA
from thaw.training import choices

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"
PAGE = ROOT / "docs" / "configuration.md"
SCRIPT = ROOT / "docs" / "generate_configuration.py"
COMMANDS = sorted(path.stem for path in CONF.glob("*.yaml"))
NAMES = [*(row.name for row in GROUPS), *OF_HYDRA]


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_configuration", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = load_generator()
TEXT = PAGE.read_text(encoding="utf-8")


def section(heading: str) -> str:
    """What stands under ``### heading``, or under ``#### heading`` of a group inside a group."""
    _, _, rest = TEXT.partition(f"\n###{'#' * heading.count('/')} {heading}\n")
    assert rest, f"no section {heading}"
    return re.split(r"^##", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows_of(text: str, column: str) -> list[dict[str, str]]:
    """The rows of the tables that have such a column, each by column."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        header, _, *rows = [
            [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in block.splitlines()
        ]
        found += [dict(zip(header, row, strict=True)) for row in rows if column in header]
    return found


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def composed(command: str, *overrides: str, **options: bool) -> DictConfig:
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(command, overrides=list(overrides), **options)


def test_the_page_is_what_the_generator_writes() -> None:
    remedy = "docs/configuration.md is out of date: run python docs/generate_configuration.py"
    assert GENERATOR.page() == TEXT, remedy


@pytest.mark.parametrize(
    ("heading", "key", "words"),
    [
        ("train.py", "seed", "a whole number from 0 to 4294967295"),
        ("sample.py", "task", "one of generate, restore"),
        ("metrics", "metrics.num_samples", "a whole number of at least 2 or 0"),
        ("optimizer", "optimizer.eps", "a number"),
        ("trainer", "trainer.max_epochs", "a whole number of at least 1 or -1 or null"),
    ],
)
def test_the_page_says_what_is_allowed(heading: str, key: str, words: str) -> None:
    rows = rows_of(section(heading), "key")
    assert {row["allowed"] for row in rows if code(row["key"]) == [key]} == {words}


def test_links_lead_to_files_to_sections_and_to_the_classes_that_they_name() -> None:
    headings = {
        re.sub(r"[^\w -]", "", heading).replace(" ", "-").lower()
        for heading in re.findall(r"^#+ (.*)$", TEXT, flags=re.MULTILINE)
    }
    links = re.findall(r"\[([^\]]+)\]\(([^)]+)\)", TEXT.replace("[8,16,16,8]", ""))
    assert len(links) > 100
    for text, target in links:
        if target.startswith("#"):
            assert target[1:] in headings
        elif not target.startswith("https://"):
            path = (PAGE.parent / target).resolve()
            assert path.exists(), target
            if "/src/" in target:
                defined = rf"^(class|def) {text.strip('`')}\b"
                assert re.search(defined, path.read_text(encoding="utf-8"), re.MULTILINE), text


def test_the_marked_defaults_are_those_that_hydra_chooses() -> None:
    cfg = composed("train", return_hydra_config=True)
    # Hydra names no choice of a group that takes several.
    chosen = {"logger": ",".join(cfg.logger)} | dict(cfg.hydra.runtime.choices)
    marked = {
        group: code(row["choice"])[0]
        for group in NAMES
        for row in rows_of(section(group), "choice")
        if row["choice"].endswith("(default)")
    }
    ours = {row.name for row in GROUPS if not row.brought_by}
    assert marked == {group: chosen[group] for group in ours}


@pytest.mark.parametrize("group", ["degradation", "data", "objective"])
def test_a_choice_brings_what_hydra_chooses_with_it(group: str) -> None:
    for row in rows_of(section(group), "choice")[::5]:
        choice = code(row["choice"])[0]
        cfg = composed("train", f"{group}={choice}", return_hydra_config=True)
        assert row["brings"]
        for entry in code(row["brings"]):
            place, _, brought = entry.partition("=")
            assert (cfg.hydra.runtime.choices[place] or "null") == brought, (choice, entry)


def test_what_the_page_tells_to_type_composes() -> None:
    examples = re.findall(r"^python (train)\.py (.*?) +#", TEXT, re.MULTILINE)
    prose = "\n".join(line for line in TEXT.splitlines() if re.match(r"[A-Za-z`]", line))
    examples += re.findall(r"`(?:python (\w+)\.py )?(\+?[\w.@/]+=[^`]+)`", prose)
    assert len(examples) >= 15
    for command, example in set(examples):
        arguments = example.replace("-m ", "").removesuffix(" --cfg job").split()
        if example.startswith("-m "):  # the first run of the sweep
            arguments = [argument.split(",")[0] for argument in arguments]
        # What is more than the choice of a file is for Hydra to say.
        if not all((CONF / f"{each.replace('=', '/')}.yaml").is_file() for each in arguments):
            composed(command or "train", *arguments)


def test_runs_go_where_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    hydra = composed("train", "seed=3", return_hydra_config=True).hydra
    assert re.fullmatch(r"outputs/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d_seed=3", hydra.run.dir)
    assert re.fullmatch(r"multirun/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d", hydra.sweep.dir)
    hydra = composed("train", "sweep.name=NAME", return_hydra_config=True).hydra
    assert hydra.sweep.dir == "multirun/NAME"
    for command in COMMANDS:
        if command != "train":
            hydra = composed(command, return_hydra_config=True).hydra
            assert (hydra.run.dir, hydra.output_subdir) == (".", None)


# File, what to replace in it (nothing: to append), by what, and what the page then says.
CHANGES = {
    "a new key": ("model/cnn.yaml", "", "# How.\nsure: 3\n", "| `model.sure` | `3` | How. |"),
    "a new default": ("model/cnn.yaml", "size: 7", "size: 9", "| `model.kernel_size` | `9` |"),
    "a new choice": ("model/mine.yaml", "", "# A model of mine.\n{}\n", "| A model of mine. |"),
    "a new companion": (
        "degradation/row_random.yaml",
        "  - _self_",
        "  - /prior@_global_.prior: normal\n  - _self_",
        "`prior=normal`, `sampler@metrics.sampler=cold_generating` |\n| [`row_shuffled`]",
    ),
    "another choice of a part": (
        "objective/weighting/mine.yaml",
        "",
        "# Mine.\n\n# How.\nsure: 3\n",
        "| `objective.weighting.sure` | `3` | How. | `mine` |",
    ),
    "another preset": ("debug/quick.yaml", "max_epochs: 1", "max_epochs: 2", "  max_epochs: 2\n"),
}
UNEXPLAINED = {
    "model/cnn.yaml": ("model.sure in model/cnn.yaml must have a comment", "sure: 3\n"),
    "report.yaml": ("num_samples in report.yaml must have a comment", "num_samples: 3\n"),
    "model/mine.yaml": ("mine.yaml must begin with a comment", "hidden: 3\n"),
    "mine/mine.yaml": ("the folders of conf/ and thaw.groups differ: mine", "# Mine.\n{}\n"),
}


def test_changes_are_shown(tmp_path: Path) -> None:
    conf = shutil.copytree(CONF, tmp_path / "conf")
    for name, old, new, _ in CHANGES.values():
        path = conf / name
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        assert old in text
        path.write_text(text.replace(old, new, 1) if old else text + new, encoding="utf-8")
    page = re.sub("[ |]+", " ", GENERATOR.page(conf))
    for *_, shown in CHANGES.values():
        assert shown not in TEXT
        assert re.sub("[ |]+", " ", shown) in page


@pytest.mark.parametrize("name", UNEXPLAINED)
def test_what_does_not_say_what_it_is_is_refused(name: str, tmp_path: Path) -> None:
    message, added = UNEXPLAINED[name]
    path = shutil.copytree(CONF, tmp_path / "conf") / name
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(added)
    with pytest.raises(SystemExit, match=re.escape(message)):
        GENERATOR.page(tmp_path / "conf")


def test_the_check_refuses_an_old_page_and_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = PAGE.stat().st_mtime_ns
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--check"])
    monkeypatch.setattr(GENERATOR, "page", lambda: TEXT)
    GENERATOR.main()
    monkeypatch.setattr(GENERATOR, "page", lambda: f"{TEXT}more")
    with pytest.raises(SystemExit, match="configuration.md is out of date: run python docs/"):
        GENERATOR.main()
    assert PAGE.stat().st_mtime_ns == before


def test_what_goes_with_a_degradation_is_found_by_the_classes() -> None:
    everything = [f"sampler={name}" for name in choices.choices_of("sampler")]
    straight = ["sampler=indi", "sampler=indi_25"]
    assert choices.fitting("sampler", Gaussian) == [e for e in everything if e not in straight]
    assert set(straight) <= set(choices.fitting("sampler", Bridge))
    assert {"sampler=cold", "sampler=naive"} <= set(choices.fitting("sampler", Degradation))
    kinds = {
        name: choices.class_of("degradation", name) for name in choices.choices_of("degradation")
    }
    for limit in choices.limits():
        group, _, choice = limit.choice.partition("=")
        needs = choices.class_of(group, choice).needs
        assert limit.degradations
        for name, kind in kinds.items():
            assert issubclass(kind, needs) == (name in limit.degradations)
        assert f"| `{limit.choice}` | {', '.join(limit.degradations)} | {limit.reason}" in TEXT

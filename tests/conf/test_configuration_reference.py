"""docs/configuration.md against conf/: read anew with plain YAML, composed by Hydra, and broken."""

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from thaw.commands import config

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"
PAGE = ROOT / "docs" / "configuration.md"
SCRIPT = ROOT / "docs" / "generate_configuration.py"
REMEDY = "run python docs/generate_configuration.py"
COMMANDS = sorted(path.stem for path in CONF.glob("*.yaml"))
FOLDERS = {path.relative_to(CONF).as_posix() for path in CONF.rglob("*") if path.is_dir()}
GROUPS = sorted(FOLDERS - {"companions"})  # what others are built on
PRESETS = [
    (group, path.stem)
    for group in ("experiment", "debug")
    for path in sorted((CONF / group).glob("*.yaml"))
]


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_configuration", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = load_generator()
TEXT = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""


def section(heading: str) -> str:
    """What stands under ``### heading``, or under ``#### heading`` of a group inside a group."""
    _, _, rest = TEXT.partition(f"\n###{'#' * heading.count('/')} {heading}\n")
    assert rest, f"no section {heading}"
    return re.split(r"^##", rest, maxsplit=1, flags=re.MULTILINE)[0]


def tables(text: str) -> Iterator[list[dict[str, str]]]:
    """Each table as its rows, by column."""
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        header, rule, *rows = [
            [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in block.splitlines()
        ]
        assert set(rule) == {"---"}
        yield [dict(zip(header, row, strict=True)) for row in rows]


def key_rows(text: str) -> list[dict[str, str]]:
    return [row for table in tables(text) for row in table if "key" in row]


def choice_rows(text: str) -> list[dict[str, str]]:
    return [row for table in tables(text) for row in table if "choice" in row]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def leaves(node: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted names of all values; a node that names a class is a value too, that class.

    A list of such nodes is the list of their classes, and theirs are called 0, 1, ...
    """
    found: dict[str, Any] = {}
    for key, value in node.items():
        name = f"{prefix}{key}"
        if key in ("_target_", "_partial_") or (not prefix and key in ("defaults", "hydra")):
            continue
        if isinstance(value, dict):
            if "_target_" in value:
                found[name] = value["_target_"]
            found |= leaves(value, f"{name}.")
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            found[name] = [item["_target_"] for item in value]
            for index, item in enumerate(value):
                found |= leaves(item, f"{name}.{index}.")
        else:
            found[name] = value
    return found


def group_of(path: Path) -> str:
    """The group of a choice; of a command it is ``.``."""
    return path.parent.relative_to(CONF).as_posix()


def content(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    loaded = yaml.safe_load(text)
    if path.parent != CONF and "@package _global_" not in text:
        loaded.pop("defaults", None)
        package = "hydra" if "@package hydra\n" in text else group_of(path).replace("/", ".")
        return leaves(loaded, f"{package}.")
    return leaves(loaded)


def built_on_another(path: Path) -> bool:
    entries = yaml.safe_load(path.read_text(encoding="utf-8")).get("defaults", [])
    return any(isinstance(entry, str) and entry != "_self_" for entry in entries)


def composed(command: str, *overrides: str, **options: bool) -> DictConfig:
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(command, overrides=list(overrides), **options)


def assert_default(cell: str, value: Any) -> None:
    """The cell shows the value, or links to the class that is the value, or to each of a list."""
    linked = re.findall(r"\[`(\w+)`\]\(", cell)
    if linked:
        classes = value if isinstance(value, list) else [value]
        assert linked == [name.rpartition(".")[2] for name in classes]
        return
    (shown,) = code(cell)
    assert yaml.safe_load(shown) == value


def test_the_page_is_what_the_generator_writes() -> None:
    assert GENERATOR.page(CONF) == TEXT, f"docs/configuration.md is out of date: {REMEDY}"


def test_every_file_is_on_the_page() -> None:
    for path in CONF.rglob("*.yaml"):
        group = group_of(path)
        if path.parent == CONF:
            assert section(f"{path.stem}.py").strip()
        else:
            linked = f"[`{path.stem}`](../conf/{group}/{path.name})"
            rows = choice_rows(section(group))
            (about,) = [row["what it is"] for row in rows if row["choice"].startswith(linked)]
            assert about


@pytest.mark.parametrize("command", COMMANDS)
def test_every_key_of_a_command_has_its_default_and_a_meaning(command: str) -> None:
    rows = {code(row["key"])[0]: row for row in key_rows(section(f"{command}.py"))}
    expected = content(CONF / f"{command}.yaml")
    assert rows.keys() == expected.keys()
    for name, value in expected.items():
        assert_default(rows[name]["default"], value)
        assert rows[name]["meaning"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_root_key_that_the_command_takes_is_on_the_page(command: str) -> None:
    """Also those that only the schema names, such as a group that comes with a degradation."""
    text = section(f"{command}.py")
    shown = {code(row["key"])[0].split(".")[0] for row in key_rows(text)}
    assert {str(key) for key in composed(command)} <= shown | set(GROUPS)


@pytest.mark.parametrize("group", [group for group in GROUPS if "/" in group])
def test_a_group_inside_a_group_stands_below_it(group: str) -> None:
    headings = re.findall(r"^#+ .*$", TEXT, re.MULTILINE)
    above = headings[: headings.index(f"#### {group}")]
    assert [line for line in above if line.startswith("### ")][-1] == f"### {Path(group).parent}"


@pytest.mark.parametrize("group", [group for group in GROUPS if group not in dict(PRESETS)])
def test_every_key_of_a_group_has_its_default_and_a_meaning(group: str) -> None:
    paths = sorted((CONF / group).glob("*.yaml"))
    text = section(group)
    everyone = {path.stem for path in paths if not built_on_another(path)}
    shown = {}
    for row in key_rows(text):
        for choice in code(row.get("only with", "")) or everyone:
            shown[code(row["key"])[0], choice] = row
    stated = set()
    for path in paths:
        for name, value in content(path).items():
            if built_on_another(path) and (name, path.stem) not in shown:
                (line,) = re.findall(rf"^- `{group}={path.stem}` is .*$", text, re.MULTILINE)
                changes = dict(change.split("=", 1) for change in code(line)[-1].split())
                assert yaml.safe_load(changes[name]) == value
                continue
            row = shown[name, path.stem]
            assert_default(row["default"], value)
            assert row["meaning"]
            stated.add((name, path.stem))
    assert stated == shown.keys()


@pytest.mark.parametrize("project", ["Lightning", "PyTorch"])
def test_only_keys_of_other_projects_refer_to_their_documentation(project: str) -> None:
    group = {"Lightning": "trainer", "PyTorch": "optimizer"}[project]
    referring = [row for row in key_rows(TEXT) if row["meaning"].startswith(f"[{project}'s ")]
    assert referring
    for row in referring:
        name = code(row["key"])[0]
        assert name.startswith(f"{group}.")
        link = rf"\[{project}'s `{name.split('.')[-1]}`\]\(https://[^)]+\)"
        assert re.fullmatch(link, row["meaning"])


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


# What the choices of a group bring.
COMPANIONS = {
    "degradation": ("prediction", "objective", "sampler", "prior", "metrics.sampler"),
    "data": ("metrics",),
}


def came_with(group: str, choice: str, other: str) -> list[str]:
    """The choices of another group that this one comes with, as its own section says."""
    cells = [row["choice"] for row in choice_rows(section(group))]
    (cell,) = [cell for cell in cells if code(cell)[0] == choice]
    _, _, names = cell.partition(f"(comes with {other} ")
    return code(names)


def test_the_marked_defaults_are_those_that_hydra_chooses() -> None:
    chosen = composed("train", return_hydra_config=True).hydra.runtime.choices
    marked = {}
    for group in GROUPS:
        for row in choice_rows(section(group)):
            if row["choice"].endswith("(default)"):
                assert group not in marked
                marked[group] = code(row["choice"])[0]
    brought = {*COMPANIONS["degradation"], *COMPANIONS["data"]}
    # Of hydra's own groups the defaults are Hydra's.
    ours = [group for group in GROUPS if group not in brought and not group.startswith("hydra")]
    expected = {group: chosen[group] for group in ours if chosen[group]}
    assert marked == expected
    assert {"objective/weighting", "objective/timesteps", "sampler/grid"} <= marked.keys()


@pytest.mark.parametrize("group", COMPANIONS)
def test_the_companions_are_those_that_hydra_chooses(group: str) -> None:
    text = section(group)
    (table,) = [table for table in tables(text) if group in table[0]]
    parents = re.findall(rf"^- `{group}=(\w+)` is `(\w+)` with", text, re.MULTILINE)
    rows = {code(row[group])[0]: row for row in table}
    for name, parent in parents:  # in the order of their names; row_shuffled is after row_random
        rows[name] = rows[parent]
    assert rows.keys() == {path.stem for path in (CONF / group).glob("*.yaml")}
    brought: dict[tuple[str, str], set[str]] = {}
    for name, row in rows.items():
        cfg = composed("train", f"{group}={name}", return_hydra_config=True)
        chosen = dict(cfg.hydra.runtime.choices)
        chosen["metrics.sampler"] = chosen["sampler@metrics.sampler"]
        headers = {re.sub(r"\[(.+)\]\(.*\)", r"\1", header): header for header in row}
        # Only a few degradations bring a schedule; the others leave the default.
        assert set(headers) - {"schedule"} == {group, *COMPANIONS[group]}
        brings_schedule = "schedule" in headers and row[headers["schedule"]]
        for column in COMPANIONS[group] + ("schedule",) * bool(brings_schedule):
            assert code(row[headers[column]]) == [chosen[column]]
            if name not in dict(parents):
                brought.setdefault((column, chosen[column]), set()).add(name)
    for (column, choice), names in brought.items():
        if column in GROUPS:
            assert names == set(came_with(column, choice, group))


@pytest.mark.parametrize(("group", "name"), PRESETS)
def test_a_preset_is_what_the_page_says_it_stands_for(group: str, name: str) -> None:
    shown = re.search(rf"^`{group}={name}` .*\n\n```\n([^`]*)```", section(group), re.MULTILINE)
    assert shown is not None
    assert composed("train", *shlex.split(shown[1])) == composed("train", f"{group}={name}")


def test_what_the_page_tells_to_type_composes() -> None:
    examples = re.findall(r"^python (train)\.py (.*?) +#", TEXT, re.MULTILINE)
    # Prose; what a preset or a command chooses has tests of its own.
    lines = [line for line in TEXT.splitlines() if re.match(r"(?!With )[A-Za-z`]", line)]
    prose = "\n".join(line for line in lines if not line.endswith("stands for"))
    examples += re.findall(r"`(?:python (\w+)\.py )?(\+?[\w.@/]+=[^`]+)`", prose)
    assert len(examples) >= 15
    for command, example in set(examples):
        arguments = example.replace("-m ", "").removesuffix(" --cfg job").split()
        if example.startswith("-m "):  # the first run of the sweep
            arguments = [argument.split(",")[0] for argument in arguments]
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


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """conf/, the page and its generator, to be broken."""
    shutil.copytree(CONF, tmp_path / "conf")
    (tmp_path / "docs").mkdir()
    for path in (PAGE, SCRIPT):
        shutil.copy(path, tmp_path / "docs")
    return tmp_path


def generate(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = copy / "docs" / SCRIPT.name
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_check_passes_and_writes_nothing_where_all_is_well(copy: Path) -> None:
    before = (copy / "docs" / PAGE.name).stat().st_mtime_ns
    done = generate(copy, "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (copy / "docs" / PAGE.name).stat().st_mtime_ns == before


# File, what to replace in it (nothing: to append), by what, and what the page then says.
CHANGES = {
    "a new key": ("model/cnn.yaml", "", "# How.\nsure: 3\n", "| `model.sure` | `3` | How. |"),
    "a new default": ("model/cnn.yaml", "size: 7", "size: 9", "| `model.kernel_size` | `9` |"),
    "a new meaning": ("model/cnn.yaml", "# Output channels", "# Channels", "| Channels of the"),
    "a new choice": ("model/mine.yaml", "", "# A model of mine.\n{}\n", "| A model of mine. |"),
    "a new command": ("mine.yaml", "", "# Does it\n# all.\n{}\n", "### mine.py\n\nDoes it all.\n"),
    "a new companion": (
        "degradation/row_random.yaml",
        "  - _self_",
        "  - /prior@_global_.prior: normal\n  - _self_",
        "(comes with degradation `gaussian`, `row_random`)",
    ),
    "another companion": (
        "data/kmnist.yaml",
        "metrics: inception",
        "metrics: none",
        "(comes with data `kmnist`, `photographs`)",
    ),
    "a new choice in a group inside a group": (
        "objective/weighting/mine.yaml",
        "",
        "# Mine.\n\n# How.\nsure: 3\n",
        "| `objective.weighting.sure` | `3` | How. | `mine` |",
    ),
    "another choice in a group inside a group": (
        "sampler/heun.yaml",
        "grid: trailing",
        "grid: quadratic",
        "(comes with sampler `heun`)",
    ),
    "a choice that a preset makes in a group inside a group": (
        "debug/anomaly.yaml",
        "trainer:",
        "defaults:\n  - override /sampler/grid@metrics.sampler.grid: leading\ntrainer:",
        "\nsampler/grid@metrics.sampler.grid=leading trainer.detect_anomaly=true\n",
    ),
    "another preset": (
        "debug/quick.yaml",
        "max_epochs: 1",
        "max_epochs: 2",
        "trainer.max_epochs=2",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_check_notices(change: str, copy: Path) -> None:
    name, old, new, shown = CHANGES[change]
    path, page = copy / "conf" / name, copy / "docs" / PAGE.name
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    assert old in text
    path.write_text(text.replace(old, new, 1) if old else text + new, encoding="utf-8")
    done = generate(copy, "--check")
    assert done.returncode == 1
    assert done.stderr == f"docs/configuration.md is out of date: {REMEDY}\n"
    assert page.read_text(encoding="utf-8") == TEXT
    assert generate(copy).returncode == 0
    assert shown not in TEXT
    assert shown in page.read_text(encoding="utf-8")


def test_the_check_notices_that_a_file_is_gone(copy: Path) -> None:
    (copy / "conf" / "sampler" / "naive.yaml").unlink()
    assert generate(copy, "--check").returncode == 1
    assert generate(copy).returncode == 0
    assert generate(copy, "--check").returncode == 0
    assert "`naive`" not in (copy / "docs" / PAGE.name).read_text(encoding="utf-8")


UNEXPLAINED = {
    "model/cnn.yaml": ("model.sure in cnn.yaml must have a comment", "sure: 3\n"),
    # Another command has such a key, of another meaning.
    "report.yaml": ("num_samples in report.yaml must have a comment", "num_samples: 3\n"),
    "callbacks/default.yaml": (
        "callbacks.mine in default.yaml must have a comment",
        "mine:\n  _target_: thaw.mine.Mine\n",
    ),
    "model/mine.yaml": ("mine.yaml must begin with a comment", "hidden: 3\n"),
    "mine/mine.yaml": ("the folders of conf/ differ: mine", "# Mine.\n{}\n"),
    "objective/mine/mine.yaml": ("the folders of conf/ differ: objective/mine", "# Mine.\n{}\n"),
    "objective/weighting/p2.yaml": (
        "objective.weighting.sure in p2.yaml must have a comment",
        "sure: 3\n",
    ),
    "data/mine.yaml": (
        "mine.yaml chooses from data/grid, which is no folder of conf/",
        "# Mine.\ndefaults:\n  - grid: trailing\n",
    ),
}


@pytest.mark.parametrize("name", UNEXPLAINED)
def test_what_does_not_say_what_it_is_is_refused(name: str, copy: Path) -> None:
    message, added = UNEXPLAINED[name]
    path = copy / "conf" / name
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(added)
    done = generate(copy)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert (copy / "docs" / PAGE.name).read_text(encoding="utf-8") == TEXT

"""Writes docs/configuration.md from the files in conf/, their comments, and the signatures.

``python docs/generate_configuration.py [--check]``

A comment is about the key that it precedes on lines of its own or follows on the key's line; the
first lines of a file are about the file. What a group is stands in thaw.groups; what a value may be
in the signature of the class that takes it, or in the schema of the command.
"""

import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from yaml.nodes import MappingNode, Node

from thaw.checks import annotations, in_words, schema_of
from thaw.commands.config import SCHEMAS
from thaw.groups import CONF, GROUPS, OF_HYDRA, PRESETS, SHARED
from thaw.training.choices import limits
from thaw.training.third_party import annotations_of

PAGE = Path(__file__).with_name("configuration.md")
ABOUT = {group.name: group.about for group in GROUPS} | PRESETS | OF_HYDRA
LIGHTNING = "https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch"
# Where the classes of other projects are explained; their keys need no comment.
DOCUMENTED = {
    "pytorch_lightning.Trainer": f"{LIGHTNING}.trainer.trainer.Trainer.html",
    "pytorch_lightning.loggers.TensorBoardLogger": f"{LIGHTNING}.loggers.tensorboard.html",
    "pytorch_lightning.loggers.CSVLogger": f"{LIGHTNING}.loggers.csv_logs.html",
    "pytorch_lightning.loggers.WandbLogger": f"{LIGHTNING}.loggers.wandb.html",
    "pytorch_lightning.loggers.MLFlowLogger": f"{LIGHTNING}.loggers.mlflow.html",
    "pytorch_lightning.loggers.CometLogger": f"{LIGHTNING}.loggers.comet.html",
    "torch.": "https://docs.pytorch.org/docs/stable/generated/{}.html",
    "torchvision.": "https://docs.pytorch.org/vision/stable/generated/{}.html",
}
OPENING = """\
<!-- Written by `python docs/generate_configuration.py` from the comments in conf/: edit those. -->

# Configuration

Every choice and every key of thaw, with its default and its meaning.
[Hydra](https://hydra.cc/docs/1.3/intro/) composes a configuration from the small files in
[conf/](../conf): a folder there is a *group*, a file in it a *choice*, a folder in it a group for a
part of the choice. The command line chooses files and changes values.

```bash
python train.py degradation=column_random          # GROUP=CHOICE: another file
python train.py objective/weighting=min_snr        # GROUP/PART=CHOICE: another file for a part
python train.py model.hidden=[8,16,16,8]           # KEY=VALUE: another value
python train.py -m seed=1,2,3 model=cnn,unet       # -m: every combination, here six runs
python train.py experiment=quickstart seed=7       # an experiment: many such changes by one name
python train.py degradation=row_random --cfg job   # shows the configuration and trains nothing
```

Where two disagree, the later wins: the defaults, the companions that the degradation and the data
bring, the experiment, `debug`, the command line. A key that does not exist is refused.

In the tables `null` means none, or not set; `${seed}` is the value of another key; and
`${oc.env:THAW_DATA,data}` is the environment variable `THAW_DATA`, or `data` where it is not set.

A run is kept in `outputs/DATE/TIME_OVERRIDES/`, or where `hydra.run.dir=DIR` says. A sweep is kept
in `multirun/DATE/TIME/`, in `multirun/NAME/` with `sweep.name=NAME`, or where `hydra.sweep.dir=DIR`
says; each of its runs has a folder there, called by its number and the overrides that vary in the
sweep. With a name of the sweep it is called by all overrides; where these are long, by those that
vary and a digest of all. The other commands make no such folders.
"""
COMPLETION = """\
## Completion

In bash, Tab completes groups, choices and keys of `python train.py` and the other commands of a
checkout, after this in the environment that has thaw:

```bash
source .venv/bin/activate
eval "$(python train.py -sc install=bash)"
```

It is Hydra's, composes the configuration at each Tab (a second), and needs the command to begin
with `python`: `.venv/bin/python` and `thaw` are not completed.
"""
COMPATIBILITY = """\
## Compatibility

Every choice goes with every degradation, except for these. The reason is what the class `needs` of
a degradation; what it needs beyond that is checked at the start of a run.
"""


class Key(NamedTuple):
    """A key as it is typed, its default (of a node: its class), its meaning, what it may be."""

    name: str
    default: str
    meaning: str
    allowed: str


class File(NamedTuple):
    """A file of conf/: name, comment, the text below, class, keys, what it brings."""

    name: str
    about: str
    body: str
    target: str
    keys: dict[str, Key]
    brings: dict[str, str]

    @property
    def choice(self) -> str:
        """The name without the folder."""
        return self.name.rpartition("/")[2]


def read(conf: Path, name: str, group: str, allowed: Mapping[str, Any]) -> File:
    """The file ``conf/name.yaml``, with what it has from the files that it is built on.

    ``group`` is the one that it is a choice of, empty for a command; ``allowed`` the annotation of
    each key, where its class does not say it. SystemExit where the file or a key has no comment.
    """
    text = (conf / f"{name}.yaml").read_text(encoding="utf-8")
    lines = text.splitlines()
    num_first = [line.startswith("#") for line in [*lines, ""]].index(False)
    first = [line.lstrip("# ") for line in lines[:num_first]]
    about = " ".join(line for line in first if not line.startswith("@package"))
    if not about:
        raise SystemExit(f"{name}.yaml must begin with a comment that says what it is")
    packages = [line.split()[1] for line in first if line.startswith("@package")]
    prefix = (packages or [group.replace("/", ".")])[0].replace("_global_", "")
    # Without the first lines, which are about no key.
    body = "\n" * num_first + "\n".join(lines[num_first:])
    root = yaml.compose(body)
    assert isinstance(root, MappingNode), name
    file = File(name, about, body.strip(), target_of(root), {}, {})
    for entry in yaml.safe_load(text).get("defaults", []):
        if isinstance(entry, dict):
            ((chosen, choice),) = entry.items()
            names = choice if isinstance(choice, list) else [choice or "null"]
            file.brings[place_of(chosen, group)] = ", ".join(names)
        elif entry != "_self_" and not entry.endswith(("_schema", "@_here_")):  # of other groups
            parent = read(conf, entry[1:] if entry[0] == "/" else f"{group}/{entry}", group, {})
            file = file._replace(target=file.target or parent.target)
            file.keys.update(parent.keys)
            file.brings.update(parent.brings)
    root.value = [pair for pair in root.value if pair[0].value not in ("defaults", "hydra")]
    allowed = allowed or allowed_in(file.target)
    for key in keys_of(body, root, f"{prefix}." if prefix else "", allowed, file.target):
        inherited = file.keys[key.name].meaning if key.name in file.keys else ""
        file.keys[key.name] = key._replace(meaning=key.meaning or inherited)
    return file


def place_of(chosen: str, group: str) -> str:
    """``sampler`` or ``sampler@metrics.sampler``, as the command line has an entry of defaults."""
    name, _, package = chosen.removeprefix("override ").partition("@")
    name = name[1:] if name.startswith("/") else f"{group}/{name}".removeprefix("/")
    package = package.removeprefix("_global_.")
    return name if package in ("", name.replace("/", ".")) else f"{name}@{package}"


def keys_of(
    text: str, parent: MappingNode, prefix: str, allowed: Mapping[str, Any], target: str
) -> Iterator[Key]:
    """The keys of a mapping whose class is ``target``, and those of mappings within."""
    for key, value in parent.value:
        name = f"{prefix}{key.value}"
        meaning = comment_on(text.splitlines(), key, value) or documentation(target)
        inner = schema_of(allowed.get(key.value))
        if re.fullmatch("_.+_", key.value):
            continue
        if isinstance(value, MappingNode):
            below = target_of(value)
            if meaning or below:
                yield Key(name, link(below), meaning, "")
            kinds = allowed_in(below) or (annotations(inner) if inner else {})
            yield from keys_of(text, value, f"{name}.", kinds, below)
            continue
        nodes = [node for node in value.value if isinstance(node, MappingNode)]
        default = ", ".join(link(target_of(node)) for node in nodes)
        written = text[value.start_mark.index : value.end_mark.index]
        words = in_words(allowed[key.value]) if allowed.get(key.value, Any) is not Any else ""
        yield Key(name, default or f"`{written}`", meaning, words)


def comment_on(lines: Sequence[str], key: Node, value: Node) -> str:
    """The comment before a key and behind it."""
    line = start = key.start_mark.line
    while start > 0 and lines[start - 1].lstrip().startswith("#"):
        start -= 1
    end = value.end_mark if value.end_mark.line == line else key.end_mark
    after = re.fullmatch(r":?\s*(#.*)", lines[line][end.column :])
    comments = [*lines[start:line], *(after.groups() if after else ())]
    return " ".join(comment.strip().lstrip("# ") for comment in comments)


def target_of(node: MappingNode) -> str:
    """The class or function that a node names, or nothing."""
    return next((value.value for key, value in node.value if key.value == "_target_"), "")


def allowed_in(target: str) -> Mapping[str, Any]:
    """What the parameters of a class may be; nothing for the plugins of Hydra."""
    is_known = target.startswith("thaw.") or documentation(target)
    return annotations_of(target) if is_known else {}


def link(target: str) -> str:
    """Markdown that leads to the source of a class or function, or to its documentation."""
    module, _, name = target.rpartition(".")
    if target.startswith("thaw."):
        return f"[`{name}`](../src/{module.replace('.', '/')}.py)"
    page = next((page for start, page in DOCUMENTED.items() if target.startswith(start)), "")
    return f"[`{name}`]({page.format(target)})" if page else f"`{target}`" if target else ""


def documentation(target: str) -> str:
    """The words for a key that another project documents, or nothing."""
    is_documented = any(target.startswith(start) for start in DOCUMENTED)
    return f"See {link(target)}." if is_documented else ""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, without columns that are empty; nothing where there are no rows."""
    cells = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    kept = [k for k in range(len(header)) if any(row[k] for row in cells)]
    lines = [header, ["---"] * len(header), *cells] if cells else []
    return "".join(f"| {' | '.join(line[k] for k in kept)} |\n" for line in lines)


def anchor(heading: str) -> str:
    """A link to a section, with the anchor that GitHub makes of its heading."""
    return f"[{heading}](#{re.sub('[./]', '', heading).lower()})"


def command_section(command: str, file: File) -> Iterator[str]:
    """A command: its groups and its keys."""
    yield f"### {command}.py\n\n{file.about}\n"
    chosen = [f"{anchor(each)} ({file.brings[each]})" for each in file.brings if each in ABOUT]
    yield f"Groups: {', '.join(chosen)}.\n" if chosen else ""
    yield table(("key", "default", "meaning", "allowed"), key_rows([file]))


def group_section(group: str, files: Sequence[File], default: str | None) -> Iterator[str]:
    """A group: its choices with what they bring, and its keys with the choices that have them."""
    yield f"###{'#' * group.count('/')} {group}\n\n{ABOUT[group]}\n"
    rows = []
    for file in files:
        choice = f"[`{file.choice}`](../conf/{file.name}.yaml)"
        mark = " (default)" if file.choice == default else ""
        brought = ", ".join(f"`{each}={value}`" for each, value in file.brings.items())
        rows.append((choice + mark, file.about, link(file.target), brought))
    yield table(("choice", "what it is", "code", "brings"), rows)
    if group in PRESETS:
        yield from (f"`{group}={each.choice}`:\n\n```yaml\n{each.body}\n```\n" for each in files)
    else:
        yield table(("key", "default", "meaning", "allowed", "only with"), key_rows(files))


def key_rows(files: Sequence[File]) -> Iterator[tuple[str, ...]]:
    """A row for each key and default, those of one name together; SystemExit without a comment."""
    users: dict[Key, list[str]] = {}
    meanings: dict[str, str] = {}
    for file in files:
        for key in file.keys.values():
            meanings[key.name] = meanings.get(key.name) or key.meaning
    for file in files:
        for key in file.keys.values():
            meaning = key.meaning or meanings[key.name]
            if not meaning:
                raise SystemExit(f"{key.name} in {file.name}.yaml must have a comment")
            users.setdefault(key._replace(meaning=meaning), []).append(f"`{file.choice}`")
    for key in sorted(users, key=lambda key: list(meanings).index(key.name)):
        only = ", ".join(users[key]) if len(users[key]) < len(files) else ""
        yield (f"`{key.name}`", *key[1:], only)


def page(conf: Path = CONF) -> str:
    """The whole page; SystemExit where a group, a file or a key does not say what it is."""
    folders = {path.relative_to(conf).as_posix() for path in conf.rglob("*") if path.is_dir()}
    if odd := ", ".join(sorted((folders ^ ABOUT.keys()) - set(SHARED))):
        raise SystemExit(f"the folders of conf/ and thaw.groups differ: {odd}")
    commands = {name: read(conf, name, "", annotations(SCHEMAS[name])) for name in SCHEMAS}
    parts = [OPENING, f"Commands: {' · '.join(anchor(f'{each}.py') for each in commands)}\n"]
    parts += [f"Groups: {' · '.join(map(anchor, ABOUT))}\n", "## Commands\n"]
    for command, file in commands.items():
        parts += command_section(command, file)
    parts += ["## Groups\n"]
    for group in ABOUT:
        schema = schema_of(annotations(SCHEMAS["train"]).get(group))
        allowed = annotations(schema) if schema else {}
        names = sorted(path.stem for path in (conf / group).glob("*.yaml"))
        files = [read(conf, f"{group}/{name}", group, allowed) for name in names]
        parts += group_section(group, files, commands["train"].brings.get(group))
    rows = [(f"`{each.choice}`", ", ".join(each.degradations), each.reason) for each in limits()]
    parts += [
        COMPLETION,
        COMPATIBILITY,
        table(("choice", "only with `degradation=`", "reason"), rows),
    ]
    text = "\n".join(part for part in parts if part)
    return "\n".join(map(wrapped, text.split("\n")))


def wrapped(line: str) -> str:
    """A line of prose in lines of at most 120 columns; rows of tables stay."""
    if line.startswith("|"):
        return line
    indent = "  " * line.startswith("- ")
    return textwrap.fill(line, 120, subsequent_indent=indent, break_on_hyphens=False,
                         break_long_words=False)  # fmt: skip


def main() -> None:
    """Write the page, or with --check refuse one that is not what it should be."""
    text = page()
    if sys.argv[1:] != ["--check"]:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
        raise SystemExit(f"docs/{PAGE.name} is out of date: run python docs/{Path(__file__).name}")


if __name__ == "__main__":
    main()

"""Writes docs/configuration.md from the files in conf/ and their comments.

``python docs/generate_configuration.py [--check]``

A comment is about the key that it precedes on lines of its own or follows on the key's line; the
first lines of a file are about the file.
"""

import argparse
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

CONF = Path(__file__).resolve().parents[1] / "conf"
PAGE = Path(__file__).with_name("configuration.md")

OPENING = """\
<!-- Written by `python docs/generate_configuration.py` from the comments in conf/: edit those. -->

# Configuration

Every choice and every key of thaw, with its default and its meaning.
[Hydra](https://hydra.cc/docs/1.3/intro/) composes a configuration from the small files in
[conf/](../conf): a folder there is a *group*, a file in it a *choice*, a folder in it a group for a
part of the choice; and the command line picks and changes.

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
"""

WHERE = """\
A run is kept in `outputs/DATE/TIME_OVERRIDES/`, or where `hydra.run.dir=DIR` says. A sweep is kept
in `multirun/DATE/TIME/`, in `multirun/NAME/` with `sweep.name=NAME`, or where `hydra.sweep.dir=DIR`
says; each of its runs has a folder there. The other commands make no such folders.
"""
# The first commands of the page; any other follows.
COMMANDS = ("train", "evaluate", "sample", "report")

# In the order of the page. A folder in conf/ that is not here is refused.
GROUPS = {
    "degradation": """\
The forward process `x_t = D(x_0, t, noise)`, from the clean image at t = 0 to the fully degraded
one at t = T. A degradation brings companions that fit it, and each can still be chosen by its own
group: `degradation=column_random sampler=naive`. A new one is
[one class and one file](adding_a_degradation.md).""",
    "schedule": "How noisy an image is at step t, where the degradation takes a schedule.",
    "prediction": "What the network is trained to output, and how a clean image is read from it.",
    "objective": """\
The loss: a distance between the network's output and what it should be, weighted by the time step,
at time steps drawn at random.""",
    "objective/weighting": """\
How much each time step counts. Only with `degradation=gaussian` is there a choice.""",
    "objective/timesteps": "How often each time step is drawn.",
    "sampler": """\
How an image is made from `x_T`. The scores of each epoch have a sampler of their own, with the same
choices and keys: `sampler@metrics.sampler=ddim metrics.sampler.num_steps=10`.""",
    "sampler/grid": """\
Which steps a sampler visits on the way from T to 0. For the scores of each epoch it is chosen by
`sampler/grid@metrics.sampler.grid=quadratic`; for the sampler that a run already has, with a plus:
`python evaluate.py run=DIR +sampler/grid=quadratic`.""",
    "prior": "Where sampling starts: the `x_T` of an image that is made from nothing.",
    "model": "The network, from `x_t` and t to an image.",
    "optimizer": """\
What updates the weights. A further argument of its class is added with a plus:
`+optimizer.amsgrad=true`.""",
    "lr_scheduler": "How the learning rate changes in the course of a run.",
    "ema": "Whether an average of the weights is kept, to be scored and sampled in their place.",
    "data": """\
The images, and how they are split, scaled and put into batches. Data bring metrics that fit them,
and others can still be chosen: `data=fashion_mnist metrics=none`.""",
    "data/augment": """\
Random changes of the training images, others in each epoch; none unless chosen. A new choice is a
file that names a [transform of torchvision](https://docs.pytorch.org/vision/stable/transforms.html)
which keeps an image's size and its type, uint8.""",
    "metrics": """\
FID, IS and the other [scores](metrics.md) of generated images, after epochs and at the end. They
come with the data, their sampler, `metrics.sampler`, with the degradation.""",
    "trainer": """\
How long, on which device and in which precision. A further argument of Lightning's Trainer is added
with a plus: `+trainer.reload_dataloaders_every_n_epochs=1`.""",
    "callbacks": """\
What is drawn and shown on the way. `callbacks.forward_process=null` leaves one out.""",
    "logger": "What is written besides `metrics.csv` and `samples/`, which every run has.",
    "experiment": """\
Whole experiments by name. Each stands for the changes listed with it, and the command line can
still change them.""",
    "debug": """\
Short runs that find mistakes, on top of everything else:
`python train.py experiment=quickstart debug=quick`.""",
    "hydra": "How the runs of a sweep (`-m`) are chosen, and where they run.",
    "hydra/launcher": """\
Where the runs of a sweep run; one after the other unless one of these is chosen. Each needs
packages of its own, such as `pip install 'thaw[joblib]'`; see [scaling](scaling.md).""",
    "hydra/sweeper": """\
What chooses the runs of a sweep; every combination unless this is chosen. It needs
`pip install 'thaw[optuna]'`; see [scaling](scaling.md).""",
}
# The folder of files that are no choices: others are built on them.
BASES = "companions"
# Groups whose choices only change the keys of others.
PRESETS = ("experiment", "debug")

LIGHTNING = "https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch"
PYTORCH = "https://docs.pytorch.org/docs/stable/generated"
TORCHVISION = "https://docs.pytorch.org/vision/stable/generated"
OPTIMIZERS = [f"torch.optim.{name}" for name in ("Adam", "AdamW", "SGD")]
TRANSFORMS = [
    f"torchvision.transforms.v2.{name}"
    for name in ("Compose", "RandomAffine", "RandomHorizontalFlip")
]
# Classes of other projects: whose, where they are explained, and where on that page a key is. Their
# keys need no comment.
DOCUMENTED = {
    "pytorch_lightning.Trainer": (
        "Lightning",
        f"{LIGHTNING}.trainer.trainer.Trainer.html#lightning.pytorch.trainer.trainer.Trainer",
        ".params.{key}",
    ),
    "pytorch_lightning.loggers.TensorBoardLogger": (
        "Lightning",
        f"{LIGHTNING}.loggers.tensorboard.html"
        "#lightning.pytorch.loggers.tensorboard.TensorBoardLogger",
        ".params.{key}",
    ),
    **{name: ("PyTorch", f"{PYTORCH}/{name}.html#{name}", "") for name in OPTIMIZERS},
    **{name: ("torchvision", f"{TORCHVISION}/{name}.html#{name}", "") for name in TRANSFORMS},
}


class Key(NamedTuple):
    """A key as it is typed, its default (of a node: its class) and its meaning, in Markdown."""

    name: str
    default: str
    meaning: str


class Default(NamedTuple):
    """An entry of a defaults list. The group is empty where it names what a file is built on."""

    group: str
    package: str
    choice: str
    meaning: str

    @property
    def argument(self) -> str:
        """What makes this choice on the command line."""
        place = "" if self.package == package_of(self.group) else f"@{self.package}"
        return f"{self.group}{place}={self.choice}"


class File(NamedTuple):
    """A file of conf/: what it says of itself, the link to its class, and what it sets."""

    name: str
    about: str
    code: str
    defaults: list[Default]
    keys: list[Key]

    @property
    def parent(self) -> str:
        """The choice that this one is built on, or nothing."""
        return next((entry.choice for entry in self.defaults if not entry.group), "")

    @property
    def companions(self) -> dict[str, Default]:
        """The choices that this one makes in other groups, by where they go."""
        return {entry.package: entry for entry in self.defaults if entry.group}


class Reader:
    """Reads one YAML file with its comments."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self.lines = self.text.splitlines()
        # How many lines are about the file.
        self.num_first = [line.startswith("#") for line in [*self.lines, ""]].index(False)

    def read(self, group: str = "") -> File:
        """The file as a choice of a group, or without one as a command.

        Raises:
            SystemExit: it does not begin with a comment, or chooses from a group that is not known.
        """
        first = [line.lstrip("# ") for line in self.lines[: self.num_first]]
        about = " ".join(line for line in first if not line.startswith("@package"))
        if not about:
            raise SystemExit(f"{self.path} must begin with a comment that says what it is")
        root = yaml.compose(self.text)
        assert isinstance(root, MappingNode), self.path
        top = {key.value: value for key, value in root.value}
        entries = top["defaults"].value if "defaults" in top else []
        defaults = [each for entry in entries for each in self._defaults(entry, group)]
        root.value = [pair for pair in root.value if pair[0].value not in ("defaults", "hydra")]
        named = (line.removeprefix("@package ") for line in first if line.startswith("@package "))
        package = next(named, package_of(group))
        prefix = f"{package}." if group and package != "_global_" else ""
        code = link(target_of(root))
        return File(self.path.stem, about, code, defaults, list(self._keys(root, prefix)))

    def _defaults(self, entry: Node, parent: str) -> list[Default]:
        """An entry of a defaults list, or those of the file outside of the groups that it names."""
        if not isinstance(entry, ScalarNode):
            return [self._default(entry, parent)]
        if entry.value.startswith("/"):
            return Reader(self.path.parents[1] / f"{entry.value[1:]}.yaml").read().defaults
        return [] if entry.value == "_self_" else [Default("", "", entry.value, "")]

    def _default(self, entry: Node, parent: str) -> Default:
        ((key, value),) = entry.value
        name, _, package = key.value.removeprefix("override ").partition("@")
        # Without a slash in front it is a group in the file's own folder.
        group = name[1:] if name.startswith("/") else f"{parent}/{name}".removeprefix("/")
        if group not in GROUPS and not group.startswith("hydra/"):
            raise SystemExit(f"{self.path} chooses from {group}, which is no folder of conf/")
        package = package.removeprefix("_global_.") or package_of(group)
        return Default(group, package, value.value, self._comment(key, value))

    def _keys(self, parent: MappingNode, prefix: str) -> Iterator[Key]:
        for key, value in parent.value:
            name, meaning = f"{prefix}{key.value}", self._comment(key, value)
            if re.fullmatch("_.+_", key.value):
                continue
            if isinstance(value, MappingNode):
                if meaning or target_of(value):
                    yield Key(name, link(target_of(value)), meaning)
                yield from self._keys(value, f"{name}.")
                continue
            meaning = meaning or documentation(target_of(parent), key.value)
            nodes = [node for node in value.value if isinstance(node, MappingNode)]
            default = ", ".join(link(target_of(node)) for node in nodes)
            yield Key(name, default or f"`{self._written(value)}`", meaning)
            for index, node in enumerate(nodes):
                yield from self._keys(node, f"{name}.{index}.")

    def _written(self, node: Node) -> str:
        if isinstance(node, SequenceNode):
            return f"[{', '.join(map(self._written, node.value))}]"
        return self.text[node.start_mark.index : node.end_mark.index]

    def _comment(self, key: Node, value: Node) -> str:
        line = start = key.start_mark.line
        while start > self.num_first and self.lines[start - 1].lstrip().startswith("#"):
            start -= 1
        end = value.end_mark if value.end_mark.line == line else key.end_mark
        after = re.fullmatch(r":?\s*(#.*)", self.lines[line][end.column :])
        comments = [*self.lines[start:line], *(after.groups() if after else ())]
        return " ".join(comment.strip().lstrip("# ") for comment in comments)


def target_of(node: MappingNode) -> str:
    """The class or function that a node names, or nothing."""
    return next((value.value for key, value in node.value if key.value == "_target_"), "")


def package_of(group: str) -> str:
    """The key that a choice of a group fills unless another is named."""
    return group.replace("/", ".")


def link(target: str) -> str:
    """Markdown that leads to the source of a class or function, or to its documentation."""
    module, _, name = target.rpartition(".")
    if target.startswith("thaw."):
        return f"[`{name}`](../src/{module.replace('.', '/')}.py)"
    if target in DOCUMENTED:
        return f"[`{name}`]({DOCUMENTED[target][1]})"
    return f"`{target}`" if target else ""


def documentation(target: str, key: str) -> str:
    """Markdown that leads to another project's explanation of a key, or nothing."""
    if target not in DOCUMENTED:
        return ""
    project, url, place = DOCUMENTED[target]
    return f"[{project}'s `{key}`]({url}{place.format(key=key)})"


def explained(files: Sequence[File]) -> list[File]:
    """The files of a group; a key without a comment has that of its namesake.

    Raises:
        SystemExit: it has none either.
    """
    meanings = {key.name: key.meaning for file in files for key in file.keys if key.meaning}
    for file in files:
        for key in file.keys:
            if key.name not in meanings:
                raise SystemExit(f"{key.name} in {file.name}.yaml must have a comment")
    return [
        file._replace(
            keys=[key._replace(meaning=key.meaning or meanings[key.name]) for key in file.keys]
        )
        for file in files
    ]


def page(conf: Path) -> str:
    """The whole page.

    Raises:
        SystemExit: a group, a file or a key does not say what it is.
    """
    folders = {path.relative_to(conf).as_posix() for path in conf.rglob("*") if path.is_dir()}
    if odd := ", ".join(sorted(folders - {BASES} ^ GROUPS.keys())):
        raise SystemExit(f"GROUPS in {Path(__file__).name} and the folders of conf/ differ: {odd}")
    commands = [explained([Reader(path).read()])[0] for path in sorted(conf.glob("*.yaml"))]
    commands.sort(key=lambda file: [*COMMANDS, file.name].index(file.name))
    groups = {}
    for group in GROUPS:
        files = [Reader(path).read(group) for path in sorted((conf / group).glob("*.yaml"))]
        groups[group] = files if group in PRESETS else explained(files)
    parts = [OPENING, contents("Commands", [f"{file.name}.py" for file in commands])]
    parts += [contents("Groups", GROUPS), f"## Commands\n\n{WHERE}"]
    for file in commands:
        parts += command_section(file)
    parts += ["## Groups\n"]
    for group, files in groups.items():
        parts += group_section(group, files, origins(group, groups, commands[0]))
    return "\n".join(part for part in parts if part)


def contents(title: str, headings: Iterable[str]) -> str:
    """A line of links to sections."""
    return f"{title}: {' · '.join(f'[{name}]({anchor(name)})' for name in headings)}\n"


def anchor(heading: str) -> str:
    """What GitHub makes of the heading of a section."""
    return f"#{re.sub('[./]', '', heading)}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, or nothing where there are no rows."""
    cells = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    lines = [[*header], ["---"] * len(header), *cells] if cells else []
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def command_section(file: File) -> Iterator[str]:
    """A command: its groups and its keys."""
    yield f"### {file.name}.py\n"
    yield f"{file.about}\n"
    entries = [entry for entry in file.defaults if entry.group in GROUPS]
    if entries:
        yield f"With {', '.join(map(group_link, entries))}.\n"
    yield keys_table(file.keys)


def group_link(entry: Default) -> str:
    """The choice that a command makes in a group, leading to the group."""
    is_made = entry.choice != "null"
    name = f"{entry.group}={entry.choice}" if is_made else entry.group
    comment = entry.meaning or ("" if is_made else "none")
    return f"[`{name}`]({anchor(entry.group)})" + (f" ({comment})" if comment else "")


def keys_table(keys: Iterable[Key]) -> str:
    """Keys with their defaults and meanings."""
    rows = [(f"`{key.name}`", key.default, key.meaning) for key in keys]
    return table(("key", "default", "meaning"), rows)


def origins(group: str, groups: dict[str, list[File]], train: File) -> dict[str, str]:
    """By what the choices of a group are made that the user need not make."""
    place = package_of(group)
    origin = {entry.choice: "default" for entry in train.defaults if entry.group == group}
    for other, files in groups.items():
        users: dict[str, list[str]] = {}
        for file in files if other not in PRESETS else ():
            if place in file.companions:
                users.setdefault(file.companions[place].choice, []).append(f"`{file.name}`")
        if group.startswith(f"{other}/") and len(users) == 1:
            return dict.fromkeys(users, "default")
        for choice, names in users.items():
            before = f"{origin[choice]}, " if choice in origin else ""
            origin[choice] = f"{before}comes with {other} {', '.join(names)}"
    return origin


def group_section(group: str, files: Sequence[File], origin: dict[str, str]) -> Iterator[str]:
    """A group: its choices, what they bring, their keys, and those that change others."""
    files = sorted(files, key=lambda file: origin.get(file.name) != "default")
    yield f"###{'#' * group.count('/')} {group}\n"
    yield f"{GROUPS[group]}\n"
    yield choices_table(group, files, origin)
    if group in PRESETS:
        for file in files:
            block = textwrap.fill(" ".join(changes(file)), 96, break_on_hyphens=False)
            yield f"`{group}={file.name}` {built_on(file)}\n\n```\n{block}\n```\n"
        return
    yield companions_table(group, files)
    yield group_keys(files)
    yield "".join(
        f"- `{group}={file.name}` {built_on(file)} `{' '.join(changes(file))}`\n"
        for file in files
        if file.parent
    )


def choices_table(group: str, files: Sequence[File], origin: dict[str, str]) -> str:
    """The choices with what they say of themselves, and their classes where they have one."""
    rows = []
    for file in files:
        choice = f"[`{file.name}`](../conf/{group}/{file.name}.yaml)"
        if file.name in origin:
            choice += f" ({origin[file.name]})"
        code = next((one.code for one in lineage(file, files) if one.code), "")
        rows.append((choice, file.about, code))
    if any(code for _, _, code in rows):
        return table(("choice", "what it is", "code"), rows)
    return table(("choice", "what it is"), [row[:2] for row in rows])


def lineage(file: File, files: Sequence[File]) -> list[File]:
    """The choice, the one that it is built on, and so on."""
    parents = [other for other in files if other.name == file.parent]
    return [file] + [one for parent in parents for one in lineage(parent, files)]


def companions_table(group: str, files: Sequence[File]) -> str:
    """What the choices of a group bring from others; nothing where they bring none."""
    entries = {
        package: entry
        for file in files
        for package, entry in file.companions.items()
        if not entry.group.startswith(f"{group}/")
    }
    header = [group, *(f"[{key}]({anchor(entry.group)})" for key, entry in entries.items())]
    rows = [
        [f"`{file.name}`"]
        + [f"`{file.companions[key].choice}`" if key in file.companions else "" for key in entries]
        for file in files
        if file.companions.keys() & entries.keys()
    ]
    these = ", of these and of what is built on them" if any(file.parent for file in files) else ""
    return f"Companions{these}:\n\n{table(header, rows)}" if rows else ""


def group_keys(files: Sequence[File]) -> str:
    """The keys of a group; of those that not every choice has, it says which do."""
    users: dict[Key, list[str]] = {}
    for file in files:
        known = {key.name for parent in lineage(file, files)[1:] for key in parent.keys}
        for key in file.keys:
            if key.name not in known:
                users.setdefault(key, []).append(file.name)
    everyone = [file.name for file in files if not file.parent]
    if all(names == everyone for names in users.values()):
        return keys_table(sorted(users, key=lambda key: key.meaning.startswith("[")))
    # A name as often as choices have it: the most common first, those of one name together.
    names = [key.name for key, having in users.items() for _ in having]
    rows = []
    for key in sorted(users, key=lambda key: (-names.count(key.name), names.index(key.name))):
        only = [] if users[key] == everyone else [f"`{name}`" for name in users[key]]
        rows.append((f"`{key.name}`", key.default, key.meaning, ", ".join(only)))
    return table(("key", "default", "meaning", "only with"), rows)


def changes(file: File) -> list[str]:
    """The arguments on the command line that do what the file does."""
    made = [entry.argument for entry in file.companions.values()]
    return made + [f"{key.name}={key.default.strip('`').replace(', ', ',')}" for key in file.keys]


def built_on(file: File) -> str:
    """The words before the changes that a file makes."""
    return f"is `{file.parent}` with" if file.parent else "stands for"


def main() -> None:
    """Write the page, or with --check exit with 1 where it is not what it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if out of date")
    text = page(CONF)
    if not parser.parse_args().check:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
        raise SystemExit(f"docs/{PAGE.name} is out of date: run python docs/{Path(__file__).name}")


if __name__ == "__main__":
    main()

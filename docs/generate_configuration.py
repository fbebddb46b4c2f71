"""Writes docs/configuration.md from the files in conf/, their comments, and the signatures.

``python docs/generate_configuration.py [--check]``

A comment is about the key that it precedes on lines of its own or follows on the key's line; the
first lines of a file are about the file. What a group is stands in thaw.groups; what a value may be
in the signature of the class that takes it, or in the schema of the command.
"""

import argparse
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hydra.utils import get_object
from yaml.nodes import MappingNode, Node

from thaw.checks import annotations, in_words, schema_of
from thaw.commands.config import SCHEMAS
from thaw.groups import CONF, GROUPS, OF_HYDRA, PRESETS, ROOTS, SHARED
from thaw.training.choices import limits
from thaw.training.nodes import annotations_of

PAGE = Path(__file__).with_name("configuration.md")
ABOUT = {group.name: group.about for group in GROUPS} | PRESETS | OF_HYDRA
LIGHTNING = "https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch"
# Where the classes of other projects are explained; their keys need no comment.
DOCUMENTED = {
    "pytorch_lightning.Trainer": f"{LIGHTNING}.trainer.trainer.Trainer.html",
    "pytorch_lightning.loggers.TensorBoardLogger": f"{LIGHTNING}.loggers.tensorboard.html",
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
"""
WHERE = """\
A run is kept in `outputs/DATE/TIME_OVERRIDES/`, or where `hydra.run.dir=DIR` says. A sweep is kept
in `multirun/DATE/TIME/`, in `multirun/NAME/` with `sweep.name=NAME`, or where `hydra.sweep.dir=DIR`
says; each of its runs has a folder there. The other commands make no such folders.
"""
COMPATIBILITY = """\
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
    """A file of conf/: what it says of itself, its text, its class, its keys, what it brings."""

    name: str
    about: str
    body: str
    target: str
    keys: dict[str, Key]
    brings: dict[str, str]


def read(path: Path, group: str = "", schema: type | None = None) -> File:
    """A file, with all that it has from the files it is built on.

    Raises:
        SystemExit: the file or a key of it has no comment.
    """
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    num_first = [line.startswith("#") for line in [*lines, ""]].index(False)
    first = [line.lstrip("# ") for line in lines[:num_first]]
    about = " ".join(line for line in first if not line.startswith("@package"))
    if not about:
        raise SystemExit(f"{path} must begin with a comment that says what it is")
    packages = [line.split()[1] for line in first if line.startswith("@package")]
    place = (packages or [group.replace("/", ".")])[0].replace("_global_", "")
    root = yaml.compose(text)
    assert isinstance(root, MappingNode), path
    entries: list[Any] = yaml.safe_load(text).get("defaults", [])
    target, keys, brings = "", dict[str, Key](), dict[str, str]()
    for entry in entries:
        if isinstance(entry, dict):
            brings |= dict(_brought(group, *item) for item in entry.items())
        elif entry != "_self_" and not entry.endswith("_schema"):
            parent = CONF / f"{entry}.yaml" if entry[0] == "/" else path.with_stem(entry)
            parent = CONF / f"{entry[1:]}.yaml" if entry[0] == "/" else parent
            found = read(parent, group)
            target, keys, brings = found.target, keys | found.keys, brings | found.brings
    target = _target(root) or target
    here = Reader(lines, num_first, keys)
    root.value = [pair for pair in root.value if pair[0].value not in ("defaults", "hydra")]
    allowed = annotations(schema) if schema else annotations_of(target)
    own = here.keys(root, f"{place}." if place else "", allowed, target in DOCUMENTED_CLASSES(target))
    keys |= {key.name: key for key in own}
    body = "\n".join(lines[num_first:]).strip()
    return File(path.stem, about, body, target, keys, brings)

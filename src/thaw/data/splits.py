"""Which folders inside a folder of images are its splits, whatever exactly they are called."""

import functools
import os
import re
from collections.abc import Iterable
from pathlib import Path

# As in Training/, test_set or val2017.
NAMES = {
    "train": "train|training",
    "test": "test|testing|eval|evaluation",
    "val": "val|valid|validation|dev",
}
AFTER_NAME = r"[\W_]*(set|data|images|split)?[\W_\d]*"


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, by name, without those whose names start with a dot."""
    with os.scandir(folder) as entries:
        names = [each.name for each in entries if each.is_dir() and not each.name.startswith(".")]
    return [folder / name for name in sorted(names)]


@functools.cache
def split_of(name: str) -> str | None:
    """``train``, ``test`` or ``val`` where a folder is called nearly so; None for another name."""
    for split, words in NAMES.items():
        if re.fullmatch(f"({words}){AFTER_NAME}", name.casefold()):
            return split
    return None


def given_splits(root: Path) -> dict[str, Path]:
    """The folders of training (``train``) and of test images (``test``); empty where none is there.

    Where there is none for testing, one for validation is.

    Raises:
        ValueError: one of the two is missing, or there are two for the same.
    """
    folders = [path for path in subfolders(root) if split_of(path.name)]
    if not folders:
        return {}
    names = " and ".join(f"{path.name}/" for path in folders)
    found: dict[str, Path] = {}
    for path in folders:
        split = split_of(path.name)
        assert split is not None
        if split in found:
            raise ValueError(
                f"{root} holds {names}, two for the same split: take one out, or rename it where "
                "it is a class"
            )
        found[split] = path
    if "train" not in found or len(found) < 2:
        raise ValueError(
            f"{root} holds {names} but not train and test: add what is missing, rename it where it "
            f"is a class, or read {folders[0].name}/ alone with data.folder={folders[0]}"
        )
    return {"train": found["train"], "test": found.get("test", found.get("val", root))}


def check_not_within(folder: Path, subfolders: Iterable[str]) -> None:
    """Refuse splits below the folder that is read: their names would be lost, or be classes.

    Raises:
        ValueError: ``folder`` has subfolders of a training and of another split.
    """
    found = {split: name for name in sorted(subfolders) if (split := split_of(name))}
    if "train" in found and len(found) > 1:
        names = " and ".join(f"{name}/" for name in found.values())
        raise ValueError(
            f"{folder} holds {names}, which must lie above the folders of classes: read it alone "
            f"with data.folder={folder}, or move them up"
        )

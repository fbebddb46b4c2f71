"""Which folders inside a folder of images are its splits, whatever exactly they are called."""

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
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def split_of(name: str) -> str | None:
    """``train``, ``test`` or ``val`` where a folder is called nearly so; None for another name."""
    for split, words in NAMES.items():
        if re.fullmatch(f"({words}){AFTER_NAME}", name.casefold()):
            return split
    return None


def given_splits(root: Path) -> dict[str, Path]:
    """The folders of training (``train``) and of test images (``test``); empty where none is there.

    A folder for validation takes the place of a missing one for testing.

    Raises:
        ValueError: one of the two is missing, or there are two for the same.
    """
    folders = [path for path in subfolders(root) if split_of(path.name)]
    found = {str(split_of(path.name)): path for path in folders}
    if not found:
        return {}
    is_complete = "train" in found and len(found) > 1
    if not is_complete or len(found) < len(folders):
        names = " and ".join(f"{path.name}/" for path in folders)
        why = "two for the same split" if is_complete else "but not train and test"
        raise ValueError(
            f"{root} holds {names}, {why}: take out or add what is wrong, rename what is a class, "
            f"or read {folders[0].name}/ alone with data.folder={folders[0]}"
        )
    return {"train": found["train"], "test": found.get("test") or found["val"]}


def check_not_within(folder: Path, names: Iterable[str]) -> None:
    """Refuse splits below the folder that is read: training and test images would be mixed.

    Raises:
        ValueError: ``folder`` has subfolders of a training and of another split.
    """
    found = {split: name for name in sorted(names) if (split := split_of(name))}
    if "train" in found and len(found) > 1:
        both = " and ".join(f"{name}/" for name in found.values())
        raise ValueError(
            f"{folder} holds {both}, which must lie above the folders of classes: read it alone "
            f"with data.folder={folder}, or move them up"
        )

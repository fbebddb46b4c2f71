"""Write examples/notebooks/*.ipynb, without outputs, from the texts; --check compares."""

import sys
from pathlib import Path
from typing import Any

import jupytext
import nbformat

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "notebooks"


def as_notebook(path: Path) -> Any:
    """The notebook of a text, its cells numbered where jupytext would give them random names."""
    notebook = jupytext.read(path)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    notebook.metadata.pop("jupytext", None)
    nbformat.validate(notebook)
    return notebook


def outdated() -> list[tuple[Path, str]]:
    """The files that are not what their text says, with what they should hold."""
    files = []
    for path in sorted(FOLDER.glob("*.py")):
        written, text = path.with_suffix(".ipynb"), nbformat.writes(as_notebook(path)) + "\n"
        if not written.is_file() or written.read_text(encoding="utf-8") != text:
            files.append((written, text))
    return files


def main() -> None:
    """Write the files, or with --check refuse those that are not what they should be."""
    files = outdated()
    if sys.argv[1:] != ["--check"]:
        for path, text in files:
            path.write_text(text, encoding="utf-8")
    elif files:
        names = ", ".join(path.name for path, _ in files)
        raise SystemExit(f"{names}: out of date: run python docs/{Path(__file__).name}")


if __name__ == "__main__":
    main()

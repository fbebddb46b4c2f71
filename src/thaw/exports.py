"""The names that a package exports, each imported when it is first asked for."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def exports(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package whose imports cost much.

    What it exports is what its source imports under ``if TYPE_CHECKING``, where type checkers and
    editors read it: the names stand there alone.
    """

    def get(name: str) -> Any:
        module = _homes(package).get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(import_module(module), name)
        setattr(sys.modules[package], name, found)
        return found

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *_homes(package)})

    return get, names


def _homes(package: str) -> dict[str, str]:
    """The module of each exported name."""
    # Imported here: whoever imports thaw may ask for no such name.
    import ast
    from pathlib import Path

    source = sys.modules[package].__file__
    assert source is not None
    body = ast.parse(Path(source).read_text(encoding="utf-8")).body
    blocks = [node for node in body if isinstance(node, ast.If)]
    found = [each for block in blocks for each in block.body if isinstance(each, ast.ImportFrom)]
    return {name.name: node.module for node in found if node.module for name in node.names}

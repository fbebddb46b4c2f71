"""What thaw, thaw.diffusion, thaw.networks and thaw.metrics export."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

PACKAGES = ("thaw", "thaw.diffusion", "thaw.metrics", "thaw.networks")


def exported(package: str) -> list[str]:
    """The names that a package's source imports as names of its own."""
    source = importlib.import_module(package).__file__
    assert source is not None
    tree = ast.walk(ast.parse(Path(source).read_text()))
    names = [name for node in tree if isinstance(node, ast.ImportFrom) for name in node.names]
    return [name.asname for name in names if name.asname]


@pytest.mark.parametrize("package", PACKAGES)
def test_each_name_is_there_and_listed(package: str) -> None:
    module = importlib.import_module(package)
    names = exported(package)
    assert len(names) > 3
    for name in names:
        assert not inspect.ismodule(getattr(module, name)), name  # as a submodule would be
        assert name in dir(module)


def test_another_name_is_an_attribute_error() -> None:
    import thaw

    with pytest.raises(AttributeError, match="module 'thaw' has no attribute 'lod'"):
        _ = thaw.lod  # type: ignore[attr-defined]
    with pytest.raises(ImportError):
        from thaw.metrics import no_such_score  # type: ignore[attr-defined]  # noqa: F401

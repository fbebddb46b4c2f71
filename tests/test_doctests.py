"""The examples in docstrings give what they say."""

import doctest
import importlib

import pytest
from commands_support import ROOT

SOURCES = ROOT / "src"
MODULES = [
    ".".join(path.relative_to(SOURCES).with_suffix("").parts)
    for path in sorted(SOURCES.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module(name: str) -> None:
    tried = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert tried.attempted
    assert not tried.failed


def test_the_theory_and_the_scores_have_examples() -> None:
    for part in ("diffusion.schedules", "diffusion.samplers.grids", "diffusion.degradations"):
        assert any(name.startswith(f"thaw.{part}") for name in MODULES), part
    assert any(name.startswith("thaw.metrics") for name in MODULES)

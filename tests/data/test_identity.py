"""What is said where data are not those of before."""

from typing import Any

import pytest

from thaw.data.identity import changes, class_changes

NOW = {"name": "image_folder", "checksum": "new", "classes": ["cat", "dog", "cow"]}


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (["cat", "dog", "cow"], ""),
        (["cat", "fox", "cow"], "1 was fox, is dog"),
        (["cat", "dog"], "2 was no class, is cow"),
        (["cat", "dog", "cow", "emu"], "3 was emu, is no class"),
        (list("abcde"), "0 was a, is cat, 1 was b, is dog, 2 was c, is cow and 2 more"),
    ],
)
def test_a_class_is_another_where_its_number_has_another_name(
    classes: list[str], expected: str
) -> None:
    then = NOW | {"classes": classes}
    assert class_changes(then, NOW) == expected
    assert expected in changes(then, NOW)
    assert bool(changes(then, NOW)) == bool(expected)


@pytest.mark.parametrize("then", [None, "x", {"name": "image_folder", "checksum": "new"}])
def test_what_was_not_stored_is_not_compared(then: Any) -> None:
    assert changes(then, NOW) == class_changes(then, NOW) == ""

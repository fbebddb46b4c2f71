"""The report in a browser, opened from disk: complete, quiet, on a phone and in the dark."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from browser_support import browser, requests_of
from report_runs import Report
from reporting_support import HOSTILE
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

pytestmark = pytest.mark.browser
# A telephone's window heeds the page's viewport, which a small desktop window does not.
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3, level AA
# Every picture, near the window or not, once each has come or failed.
IMAGES = """
const images = [...document.images];
return images.length && images.every((image) => image.complete)
  && images.map((image) => [image.alt, image.naturalWidth]);
"""
# Running text that would have to be scrolled sideways, which a table's cells may be.
CUT_OFF = """
return [...document.querySelectorAll("h1, h2, p, li, figcaption, label")]
  .filter((element) => element.checkVisibility())
  .filter((element) => element.getBoundingClientRect().right > window.innerWidth)
  .map((element) => element.innerText);
"""
# The relative luminance of the page, and each shown text with its contrast to what is behind it.
COLOURS = """
const rgb = (colour) => colour.match(/[\\d.]+/g).map(Number);
const linear = (value) => value <= 10.31 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4;
const luminance = (colour) => {
  const [red, green, blue] = rgb(colour).map(linear);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const behind = (element) => {
  const colour = getComputedStyle(element).backgroundColor;
  return rgb(colour)[3] === 0 ? behind(element.parentElement) : colour;
};
const contrast = (element) => {
  const sides = [getComputedStyle(element).color, behind(element)].map(luminance);
  return (Math.max(...sides) + 0.05) / (Math.min(...sides) + 0.05);
};
const written = [...document.body.querySelectorAll("*")].filter((element) =>
  element.checkVisibility() && [...element.childNodes].some((child) =>
    child.nodeType === Node.TEXT_NODE && child.textContent.trim()));
return [luminance(getComputedStyle(document.body).backgroundColor),
  written.map((element) => [element.innerText, contrast(element)])];
"""


@pytest.fixture(scope="module")
def page(report: Report) -> Iterator[Chrome]:
    """Headless Chromium with the report open."""
    with browser() as driver:
        driver.get((report.out / "index.html").as_uri())
        yield driver


def images_of(page: Chrome) -> list[tuple[str, int]]:
    """What each image is in words, and its width in pixels."""
    found: Any = WebDriverWait(page, 30, 0.1).until(lambda _: page.execute_script(IMAGES))
    return found


def test_it_shows_its_figures_asks_for_nothing_else_and_obeys_no_name(
    page: Chrome, report: Report
) -> None:
    for words, width in images_of(page):
        assert words.strip()
        assert width > 0, words
    asked = requests_of(page)
    files = [Path(unquote(address.path)) for address in asked if address.scheme == "file"]
    assert files == [report.out / "index.html"]
    assert {address.scheme for address in asked} <= {"file", "data"}
    assert not [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"]
    assert page.title == f"Title {HOSTILE}"
    assert page.execute_script("return document.scripts.length;") == 1  # the page's own


ROWS = """
const table = document.getElementById(arguments[0]);
return [...table.tBodies[0].rows].filter((row) => row.checkVisibility())
  .map((row) => [...row.cells].filter((cell) => cell.checkVisibility())
    .map((cell) => cell.innerText));
"""


def rows(page: Chrome, table: str = "table-results") -> list[list[str]]:
    """The cells that are shown of a table's body."""
    found: list[list[str]] = page.execute_script(ROWS, table)
    return found


def press(page: Chrome, *keys: str) -> None:
    """Keys of the keyboard, one after the other, wherever the focus is."""
    ActionChains(page).send_keys(*keys).perform()


def reach(page: Chrome, condition: str) -> None:
    """Press Tab until the focused element, ``it``, is meant."""
    script = f"const it = document.activeElement; return Boolean({condition});"
    for _ in range(200):
        press(page, Keys.TAB)
        if page.execute_script(script):
            return
    raise AssertionError(f"Tab does not lead to {condition}")


@pytest.fixture
def fresh(page: Chrome) -> Chrome:
    """The page as it opens, wide enough for every column."""
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 1300, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )
    page.refresh()
    return page


def test_tables_are_sorted_by_the_keyboard_with_what_is_missing_last(fresh: Chrome) -> None:
    before = rows(fresh)
    assert [row[0] for row in before if row[5] != "--"] == [
        f"hot {HOSTILE}", "degradation=column_random",
    ]  # fmt: skip
    where = 'it.matches("#table-results button") && it.innerText === "FID"'
    reach(fresh, where)
    press(fresh, Keys.ENTER)
    head = 'return document.activeElement.closest("th").getAttribute("aria-sort");'
    assert fresh.execute_script(head) == "ascending"
    fids = [row[5] for row in rows(fresh)]
    assert fids == ["20.00", "22.75 ± 1.8", *["--"] * 5]
    press(fresh, Keys.SPACE)
    assert fresh.execute_script(head) == "descending"
    assert [row[5] for row in rows(fresh)] == ["22.75 ± 1.8", "20.00", *["--"] * 5]
    press(fresh, Keys.ENTER)
    assert fresh.execute_script(head) is None
    assert rows(fresh) == before
    foot = 'return document.querySelector("#table-results tfoot").innerText;'
    assert fresh.execute_script(foot).startswith("floor: real test images")


def test_tables_are_searched_by_the_keyboard(fresh: Chrome) -> None:
    reach(fresh, 'it.type === "search" && it.ariaLabel.endsWith("results")')
    press(fresh, "COLUMN_random")
    assert [row[0] for row in rows(fresh)] == ["degradation=column_random"]
    count = 'return document.querySelector(".tools .count").innerText;'
    assert fresh.execute_script(count) == "1 of 7 rows"
    press(fresh, " no such")
    assert rows(fresh) == []
    press(fresh, *[Keys.BACKSPACE] * 21)
    assert len(rows(fresh)) == 7
    assert fresh.execute_script(count) == ""


def test_columns_are_hidden_by_the_keyboard_and_come_back(fresh: Chrome) -> None:
    before = rows(fresh)
    reach(fresh, 'it.matches(".tools summary")')
    press(fresh, Keys.ENTER)
    reach(fresh, 'it.type === "checkbox" && it.parentElement.innerText.trim() === "FID"')
    press(fresh, Keys.SPACE)
    assert rows(fresh) == [row[:5] + row[6:] for row in before]
    heads = """return [...document.querySelectorAll("#table-results th, #table-results td")]
      .filter((cell) => cell.cellIndex === 5 && cell.checkVisibility()).length;"""
    assert fresh.execute_script(heads) == 0  # of head and foot too
    press(fresh, Keys.SPACE)
    assert rows(fresh) == before
    press(fresh, Keys.ESCAPE)
    assert not fresh.execute_script('return document.querySelector("details.columns").open;')
    assert fresh.execute_script('return document.activeElement.matches(".tools summary");')
    assert not [entry for entry in fresh.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read_in_the_light_and_in_the_dark(page: Chrome, scheme: str) -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    luminance, written = page.execute_script(COLOURS)
    assert luminance > 0.8 if scheme == "light" else luminance < 0.1
    assert written
    assert not [(text, contrast) for text, contrast in written if contrast < LEAST_CONTRAST]


def test_a_phone_shows_its_whole_width(page: Chrome) -> None:
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    page.refresh()
    images_of(page)
    widths = "return [window.innerWidth, document.documentElement.scrollWidth];"
    page.execute_script('document.querySelector("details.columns").open = true;')
    assert page.execute_script(widths) == [PHONE["width"], PHONE["width"]]
    assert not page.execute_script(CUT_OFF)

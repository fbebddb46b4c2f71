"""The report of a real sweep, opened from disk: complete, quiet, on a phone and in the dark."""

import re
from itertools import zip_longest
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser_support import (
    HOSTILE_NAME,
    PHONE,
    console_errors,
    learning_rate,
    look,
    prefer_colours,
    records,
    requests,
    set_window,
    wait_for,
)
from selenium.webdriver import Chrome

pytestmark = pytest.mark.browser
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3, level AA
TABLES = """
return [...document.querySelectorAll("table")].map((table) =>
  [...table.rows].map((row) => [...row.cells].map((cell) => cell.innerText)));
"""
# Every picture, near the window or not, once each has come or failed.
IMAGES = """
const images = [...document.images];
images.forEach((image) => { image.loading = "eager"; });
return images.length && images.every((image) => image.complete)
  && images.map((image) => [image.alt, image.naturalWidth]);
"""
# The relative luminance of the page, and each shown text with its contrast to what is behind it.
COLOURS = """
const context = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
const rgba = (colour) => {
  context.clearRect(0, 0, 1, 1);
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data].map((value) => value / 255);
};
const linear = (value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const luminance = ([red, green, blue]) =>
  0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
const behind = (element) => {
  const colour = element ? rgba(getComputedStyle(element).backgroundColor) : [1, 1, 1, 1];
  return colour[3] === 1 ? colour : behind(element.parentElement);
};
const contrast = (element) => {
  const sides = [rgba(getComputedStyle(element).color), behind(element)].map(luminance).sort();
  return (Math.max(...sides) + 0.05) / (Math.min(...sides) + 0.05);
};
const written = visible().filter((element) => element instanceof HTMLElement
  && [...element.childNodes].some((child) =>
    child.nodeType === Node.TEXT_NODE && child.textContent.trim()));
return [luminance(rgba(getComputedStyle(document.body).backgroundColor)),
  rgba(getComputedStyle(document.body).backgroundColor)[3],
  written.map((element) => [element.innerText, contrast(element)])];
"""


# Running text that would have to be scrolled sideways, which a table's cells may be.
CUT_OFF = """
return visible().filter((element) => ["CAPTION", "FIGCAPTION", "LI", "P"].includes(element.tagName)
  || /^H[1-6]$/.test(element.tagName))
  .filter((element) => element.getBoundingClientRect().right > window.innerWidth)
  .map((element) => element.innerText);
"""


@pytest.fixture
def page(browser: Chrome, report: Path) -> Chrome:
    """The browser with the report open."""
    browser.get((report / "index.html").as_uri())
    return browser


def numbers_side_by_side(page: Chrome) -> list[list[float]]:
    """The numbers with which cells begin, by the row and by the column of each table."""
    tables: list[list[list[str]]] = look(page, TABLES)
    lines = [line for rows in tables for line in (*rows, *zip_longest(*rows, fillvalue=""))]
    found = [[NUMBER.match(cell.strip()) for cell in line] for line in lines]
    return [[float(number[0]) for number in line if number] for line in found]


def test_tables_set_every_run_s_score_and_hyperparameters_side_by_side(
    page: Chrome, runs: Path
) -> None:
    of_runs = records(runs).values()
    lines = numbers_side_by_side(page)
    for values, rel in (
        ([record["final_scores"]["final/fid"] for record in of_runs], 2e-3),
        ([learning_rate(record) for record in of_runs], 1e-9),
    ):
        assert len(set(values)) == 3
        wanted = [pytest.approx(value, rel=rel) for value in values]
        assert any(all(value in line for value in wanted) for line in lines), (values, lines)


def test_every_figure_is_there_and_says_in_words_what_it_is(page: Chrome, runs: Path) -> None:
    images = wait_for(page, IMAGES)
    assert len(images) >= len(records(runs))
    for alt, width in images:
        assert alt.strip()
        assert width > 0, alt


def test_links_lead_to_files_that_are_there(page: Chrome) -> None:
    links = look(page, "return [...document.links].map((link) => link.href);")
    files = [urlsplit(link).path for link in links if link.startswith("file:")]
    assert not [file for file in files if not Path(unquote(file)).exists()]


def test_it_needs_no_network_and_nothing_outside_its_folder(page: Chrome, report: Path) -> None:
    wait_for(page, IMAGES)
    asked = [urlsplit(address) for address in requests(page)]
    assert asked
    for address in asked:
        assert address.scheme in ("file", "data", "blob"), address.geturl()
        if address.scheme == "file":
            assert Path(unquote(address.path)).is_relative_to(report)
    assert not console_errors(page)


def test_a_phone_shows_its_whole_width(browser: Chrome, report: Path) -> None:
    set_window(browser, PHONE)
    browser.get((report / "index.html").as_uri())
    wait_for(browser, IMAGES)
    widths = "return [window.innerWidth, document.documentElement.scrollWidth];"
    assert look(browser, widths) == [PHONE["width"], PHONE["width"]]
    assert not look(browser, CUT_OFF)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read_in_the_light_and_in_the_dark(page: Chrome, scheme: str) -> None:
    prefer_colours(page, scheme)
    luminance, opacity, written = look(page, COLOURS)
    assert opacity == 1
    assert luminance > 0.8 if scheme == "light" else luminance < 0.1
    assert written
    assert not [(text, contrast) for text, contrast in written if contrast < LEAST_CONTRAST]


def test_what_a_run_is_called_is_shown_and_not_obeyed(page: Chrome) -> None:
    wait_for(page, IMAGES)
    assert HOSTILE_NAME in look(page, "return document.body.innerText;")
    assert page.title != "pwned"
    assert not look(page, "return [...document.querySelectorAll('[onerror], [src=x]')];")
    assert not console_errors(page)

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
return [...document.querySelectorAll("h1, h2, p, li, figcaption")]
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
    assert page.execute_script("return document.scripts.length;") == 0


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
    assert page.execute_script(widths) == [PHONE["width"], PHONE["width"]]
    assert not page.execute_script(CUT_OFF)

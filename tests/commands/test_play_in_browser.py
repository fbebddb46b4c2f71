"""The page to play with, in a browser: what is moved, and what changes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser_support import browser
from conftest import Run
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

pytestmark = pytest.mark.browser
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
PIXELS = """
const canvas = arguments[0], { width, height } = canvas;
const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
return Array.from({ length: width * height }, (_, k) => data[4 * k]);
"""


@pytest.fixture(scope="module")
def page(
    cold_run: Path, hot_run: Path, fork_command: Run, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Chrome]:
    """A report of a cold and of a hot run, made by the command."""
    out = tmp_path_factory.mktemp("play") / "report"
    # Blanks and commas of the run's folder are of Hydra's grammar.
    runs = ",".join(f"'{run}'" for run in (cold_run, hot_run))
    finished = fork_command("report", f"runs=[{runs}]", f"out={out}", cwd=out.parent)
    assert finished.returncode == 0, finished.stderr
    with browser() as driver:
        driver.get((out / "index.html").as_uri())
        yield driver
        assert not [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


def press(page: Chrome, bar: str, number: int) -> None:
    page.find_elements(By.CSS_SELECTOR, f"#play-{bar} button")[number].click()


def canvases(page: Chrome, t: int) -> dict[str, np.ndarray]:
    """The grey values of each canvas by its row, once those of the first run are drawn at t."""
    selector = "#play-screens .screen:first-child canvas"

    def drawn(_: Chrome) -> list[WebElement]:
        found = page.find_elements(By.CSS_SELECTOR, selector)
        return found if all(each.get_attribute("data-t") == f"{t}" for each in found) else []

    found = WebDriverWait(page, 20, 0.1).until(drawn)
    return {
        (each.get_attribute("aria-label") or "").partition(" at ")[0]: np.array(
            page.execute_script(PIXELS, each), dtype=float
        )
        for each in found
    }


def are_alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two pictures are the same but for what their compression lost."""
    return float(np.abs(one - other).mean()) < 5


def test_the_slider_moves_every_picture_of_a_run(page: Chrome) -> None:
    slider = page.find_element(By.ID, "play-t")
    slider.send_keys(Keys.HOME)
    clean = canvases(page, 0)
    assert list(clean) == ["x_0, a test image", "x_t", "x_0_hat, the network's guess"]
    original, x_t, guess = clean.values()
    assert are_alike(original, x_t)
    assert are_alike(original, guess)
    slider.send_keys(Keys.END)
    same, x_t, guess = canvases(page, 28).values()
    assert are_alike(same, original)
    assert not are_alike(x_t, original)
    assert not are_alike(guess, x_t)
    assert "t = 28 of 28" in page.find_element(By.ID, "play-screens").text
    slider.send_keys(Keys.ARROW_LEFT)
    assert "t = 28 of 28" not in page.find_element(By.ID, "play-screens").text


def test_two_runs_stand_side_by_side_at_the_same_share_of_t(page: Chrome) -> None:
    page.set_window_size(1300, 1000)
    page.find_element(By.ID, "play-t").send_keys(Keys.END)
    press(page, "runs", 1)
    screens = page.find_elements(By.CSS_SELECTOR, "#play-screens .screen")
    canvases(page, 28)
    outputs = [screen.find_element(By.TAG_NAME, "output").text for screen in screens]
    assert outputs == ["t = 28 of 28", "t = 20 of 20"]
    assert abs(screens[0].location["y"] - screens[1].location["y"]) < 2
    press(page, "runs", 1)
    assert len(page.find_elements(By.CSS_SELECTOR, "#play-screens .screen")) == 1


def test_algorithms_go_back_from_the_same_x_t_and_seeds_differ(page: Chrome) -> None:
    slider = page.find_element(By.ID, "play-t")
    press(page, "views", 1)
    slider.send_keys(Keys.END)
    before = canvases(page, 28)
    assert are_alike(before["Algorithm 1: x_t"], before["Algorithm 2: x_t"])
    slider.send_keys(Keys.HOME)
    after = canvases(page, 0)
    assert not are_alike(before["Algorithm 2: x_t"], after["Algorithm 2: x_t"])
    press(page, "views", 2)
    slider.send_keys(Keys.END)
    first = canvases(page, 28)["x_t"]
    Select(page.find_element(By.CSS_SELECTOR, "select[name=seed]")).select_by_value("1")
    assert not are_alike(canvases(page, 28)["x_t"], first)


def test_it_plays_from_t_to_0_and_fits_a_phone(page: Chrome) -> None:
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    page.find_element(By.ID, "play-run").click()
    slider = page.find_element(By.ID, "play-t")
    WebDriverWait(page, 20, 0.1).until(lambda _: slider.get_attribute("value") == "0")
    canvases(page, 0)
    widths = "return [window.innerWidth, document.documentElement.scrollWidth];"
    assert page.execute_script(widths) == [PHONE["width"], PHONE["width"]]

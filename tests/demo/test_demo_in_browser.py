"""The page in a real browser, served by a real process."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from browser_support import browser, requests_of
from commands_support import ROOT
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

pytestmark = [pytest.mark.browser, pytest.mark.slow]
START_S = 120
ANSWER_S = 60
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}


class Demo(NamedTuple):
    """A process that serves a page, and where."""

    process: subprocess.Popen[str]
    url: str
    port: int


Serve = Callable[..., Demo]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """``serve(RUN, ...)``: the demo of a run, on a free port."""
    started: dict[str, Demo] = {}
    folder = tmp_path_factory.mktemp("demo")

    def start(run: str, *arguments: str) -> Demo:
        if run not in started:
            process = subprocess.Popen(
                [sys.executable, "-u", str(ROOT / "demo.py"), f"run={run}", "port=0", *arguments],
                cwd=folder,
                env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            assert process.stdout is not None
            printed = ""
            for line in process.stdout:
                printed += line
                if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                    started[run] = Demo(process, found[0], int(found[1]))
                    break
            assert run in started, printed
        return started[run]

    yield start
    for demo in started.values():
        demo.process.kill()
        demo.process.wait()


@pytest.fixture(scope="module")
def page() -> Iterator[Chrome]:
    with browser() as driver:
        yield driver


def wait(page: Chrome, until: Callable[[], Any]) -> Any:
    return WebDriverWait(page, ANSWER_S, 0.1).until(lambda _: until())


def at(page: Chrome, selector: str) -> WebElement:
    """An element, once it is there: the page is built part by part."""
    found: WebElement = wait(page, lambda: page.find_elements(By.CSS_SELECTOR, selector))[0]
    return found


def opened(page: Chrome, demo: Demo) -> WebElement:
    """The page's canvas, once it is there."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            page.get(demo.url)
            break
        except Exception:  # it does not listen yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
    canvas = wait(page, lambda: page.find_elements(By.CSS_SELECTOR, "canvas"))[0]
    wait(page, lambda: canvas.size["width"] > 0)
    found: WebElement = canvas
    return found


def sources(page: Chrome, part: str) -> dict[str, str]:
    """Each picture of a part of the page, by its name."""
    script = "return [...document.querySelectorAll(arguments[0])].map((i) => [i.alt, i.src]);"
    return dict(page.execute_script(script, f"#{part} img"))


def text(page: Chrome, part: str) -> str:
    found: str = page.execute_script(
        "return document.getElementById(arguments[0])?.innerText ?? '';", part
    )
    return found


def tab(page: Chrome, name: str) -> None:
    buttons = page.find_elements(By.CSS_SELECTOR, "button[role=tab]")
    next(each for each in buttons if each.is_displayed() and each.text == name).click()


def stroke(page: Chrome, canvas: WebElement) -> None:
    side = canvas.size["width"]
    actions = ActionChains(page, duration=30).move_to_element(canvas)
    actions.move_by_offset(-side // 4, -side // 4).click_and_hold()
    actions.move_by_offset(side // 2, 0).move_by_offset(-side // 4, side // 2).release().perform()


def test_draw_degrade_and_restore(page: Chrome, serve: Serve) -> None:
    canvas = opened(page, serve("zoo/best_cold"))
    stroke(page, canvas)
    drawn = wait(page, lambda: sources(page, "degraded"))
    slider = at(page, "#t input[type=range]")
    slider.send_keys(Keys.HOME)
    clean = wait(page, lambda: sources(page, "degraded").get("x_t, t = 0"))
    # At t = 0 the image is what was drawn, pixel by pixel.
    bright = """
      const image = new Image();
      image.src = arguments[0];
      return image.decode().then(() => {
        const canvas = new OffscreenCanvas(28, 28).getContext("2d");
        canvas.drawImage(image, 0, 0);
        return [...canvas.getImageData(0, 0, 28, 28).data];
      });"""
    own = "return [...arguments[0].getContext('2d').getImageData(0, 0, 28, 28).data];"
    assert page.execute_script(bright, clean) == page.execute_script(own, canvas)
    assert max(page.execute_script(bright, clean)[::4]) == 255
    slider.send_keys(Keys.END)
    last = wait(page, lambda: sources(page, "degraded").get("x_t, t = 28"))
    assert len({clean, last, *drawn.values()}) == 3
    at(page, "button#restore").click()
    wait(page, lambda: "restored from t = 28" in text(page, "restoring"))
    restored = sources(page, "restored")
    names = ["original", "t = 28", "direct prediction", "Algorithm 1", "Algorithm 2"]
    assert list(restored) == names
    assert (restored["original"], restored["t = 28"]) == (clean, last)
    assert len(set(restored.values())) == 5
    at(page, "button#clear").click()
    wait(page, lambda: sources(page, "degraded").get("x_t, t = 28") not in (last, None))
    assert not any(page.execute_script(own, canvas)[::4])


def test_files_are_answered_in_words(page: Chrome, serve: Serve, tmp_path: Path) -> None:
    from PIL import Image

    canvas = opened(page, serve("zoo/best_cold"))
    (tmp_path / "notes.txt").write_text("seven")
    Image.new("RGB", (300, 200), "white").save(tmp_path / "white.jpg")
    given = at(page, "input[type=file]")
    given.send_keys(str(tmp_path / "notes.txt"))
    wait(page, lambda: "notes.txt is not an image" in text(page, "note"))
    own = "return arguments[0].getContext('2d').getImageData(14, 14, 1, 1).data[0];"
    assert page.execute_script(own, canvas) == 0
    at(page, "input[type=file]").send_keys(str(tmp_path / "white.jpg"))
    wait(page, lambda: "resized from 300 x 200 to 28 x 28" in text(page, "note"))
    wait(page, lambda: page.execute_script(own, canvas) == 255)
    wait(page, lambda: sources(page, "degraded"))


def test_an_example_is_restored(page: Chrome, serve: Serve, mnist_root: Path) -> None:
    opened(page, serve("zoo/rows_random", f"data.root={mnist_root}"))
    at(page, "button#test").click()
    wait(page, lambda: "test image" in text(page, "note"))
    shown = wait(page, lambda: sources(page, "degraded"))
    at(page, "button#restore").click()
    wait(page, lambda: "restored from t = 14" in text(page, "restoring"))
    assert sources(page, "restored")["t = 14"] == shown["x_t, t = 14"]
    at(page, "#t input[type=range]").send_keys(Keys.HOME)
    wait(page, lambda: sources(page, "degraded").get("x_t, t = 0"))
    at(page, "button#restore").click()
    wait(page, lambda: "the image is clean" in page.page_source)


def test_it_asks_nobody_else_and_is_quiet(page: Chrome, serve: Serve) -> None:
    requests_of(page)
    page.get_log("browser")
    demo = serve("zoo/best_cold")
    opened(page, demo)
    time.sleep(1)
    asked = {each.netloc for each in requests_of(page) if each.scheme not in ("data", "blob")}
    assert asked == {f"127.0.0.1:{demo.port}"}
    assert not [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"]


def test_a_phone_shows_its_whole_width(page: Chrome, serve: Serve) -> None:
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    try:
        opened(page, serve("zoo/best_cold"))
        widths = "return [window.innerWidth, document.documentElement.scrollWidth];"
        assert page.execute_script(widths) == [PHONE["width"], PHONE["width"]]
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_it_listens_on_this_machine_alone(serve: Serve) -> None:
    port = serve("zoo/best_cold").port
    with socket.create_connection(("127.0.0.1", port), 5):
        pass
    # Every address of 127/8 is this machine; a server for all would answer at this one too.
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", port), 5):
        pass


def generate(page: Chrome, steps: str, images: str) -> None:
    """Set the sliders of the steps and the images to an end, and generate."""
    tab(page, "Generate")
    for name, key in (("steps", steps), ("images", images)):
        at(page, f"#{name} input[type=range]").send_keys(key)
    at(page, "button#generate").click()


def test_a_long_generation_can_be_stopped(page: Chrome, serve: Serve) -> None:
    opened(page, serve("zoo/best_conditional"))
    generate(page, Keys.END, Keys.END)
    words = wait(page, lambda: re.search(r"t = (\d+) of 1000", text(page, "generating")))
    wait(page, lambda: f"t = {words[1]} of" not in text(page, "generating"))
    wait(page, lambda: len(sources(page, "generated")) == 2)
    at(page, "button#stop_generating").click()
    wait(page, lambda: text(page, "generating").strip() == "stopped")
    pictures = sources(page, "generated")
    time.sleep(2)
    assert sources(page, "generated") == pictures
    # The model is free again: the next is done at once, not after a thousand steps.
    for name in ("steps", "images"):
        at(page, f"#{name} input[type=range]").send_keys(Keys.HOME)
    at(page, "button#generate").click()
    wait(page, lambda: "DDIM, 1 steps" in text(page, "generating"))


def test_two_at_once_both_get_their_pictures(page: Chrome, serve: Serve) -> None:
    demo = serve("zoo/best_conditional")
    with browser() as other:
        for each in (page, other):
            opened(each, demo)
        for each in (page, other):
            generate(each, Keys.HOME, Keys.HOME)
        for each in (page, other):
            wait(each, lambda each=each: "DDIM, 1 steps" in text(each, "generating"))
        assert sources(page, "generated") == sources(other, "generated")


def test_a_page_that_is_closed_stops_its_work(page: Chrome, serve: Serve) -> None:
    demo = serve("zoo/best_conditional")
    opened(page, demo)
    generate(page, Keys.END, Keys.END)
    wait(page, lambda: "generating" in text(page, "generating"))
    page.get("about:blank")
    opened(page, demo)
    generate(page, Keys.HOME, Keys.HOME)
    wait(page, lambda: "DDIM, 1 steps" in text(page, "generating"))


def test_ctrl_c_ends_it(serve: Serve) -> None:
    process = serve("zoo/best_cold").process
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130

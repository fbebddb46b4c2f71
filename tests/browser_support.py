"""A real browser for tests, and what it asked for."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import SplitResult, urlsplit

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service


@contextmanager
def browser() -> Iterator[Chrome]:
    """Headless Chromium; the test is skipped where there is none."""
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if not all(programs):
        pytest.skip("needs Debian's chromium and chromium-driver")
    options = ChromeOptions()
    options.binary_location = programs[0] or ""
    # No sandbox: CI runs as root. Containers have a /dev/shm that is too small for Chromium.
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "no-proxy-server"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options, Service(programs[1]))
    try:
        yield driver
    finally:
        driver.quit()


def requests_of(page: Chrome) -> list[SplitResult]:
    """The addresses that were asked for since the last call."""
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [urlsplit(params["request"]["url"]) for params in sent]

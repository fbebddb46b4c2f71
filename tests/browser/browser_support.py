"""What a browser shows: its elements through shadow roots, its console, its requests."""

import json
from pathlib import Path
from typing import Any

from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.support.wait import WebDriverWait

WAIT_S = 30
DESKTOP = {"width": 1600, "height": 1200, "deviceScaleFactor": 1, "mobile": False}
# A telephone's window heeds the page's viewport, which a small desktop window does not.
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
# What a user may call a run and its folder, and what would break HTML, an attribute or an address.
HOSTILE_NAME = (
    "<script>document.title='pwned'</script> & $\\%_ "
    '"><img src=x onerror="document.title=\'pwned\'">'
)
HOSTILE_FOLDER = "2_<b>&amp;'\"$#%_"
# What scripts may call: visible(name, node), the elements of that name (null: of any) shown in a
# node, and text(node), a line a piece of text. Both see into shadow roots.
FUNCTIONS = """
const inside = (node) => [...(node.shadowRoot?.children ?? []), ...node.children].flatMap(
  (child) => [child, ...inside(child)]);
const visible = (name = null, node = document) => inside(node).filter((element) =>
  (name === null || element.localName === name) && element.checkVisibility());
const text = (node = document) => visible(null, node)
  .flatMap((element) => [...element.childNodes])
  .filter((child) => child.nodeType === Node.TEXT_NODE)
  .map((child) => child.textContent.trim()).filter(Boolean).join("\\n");
"""


def look(driver: WebDriver, script: str, *arguments: Any) -> Any:
    """The result of a script that may call ``FUNCTIONS``."""
    return driver.execute_script(FUNCTIONS + script, *arguments)


def wait_for(driver: WebDriver, script: str, *arguments: Any) -> Any:
    """The first truthy result of ``script`` within ``WAIT_S`` seconds.

    Raises:
        AssertionError: it never was; with what the page showed instead.
    """
    try:
        return WebDriverWait(driver, WAIT_S, 0.1).until(lambda _: look(driver, script, *arguments))
    except TimeoutException:
        shown = look(driver, "return text();")
        raise AssertionError(f"never so: {script} {arguments}\nThe page:\n{shown}") from None


def console_errors(driver: WebDriver) -> list[str]:
    """The errors in the console since the last call, scripts that threw among them."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


def requests(driver: WebDriver) -> list[str]:
    """The addresses that pages asked for since the last call."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]


def set_window(driver: WebDriver, window: dict[str, Any]) -> None:
    """``DESKTOP`` or ``PHONE``."""
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", window)


def prefer_colours(driver: WebDriver, scheme: str) -> None:
    """What the user asked for: ``light`` or ``dark``."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def records(folder: Path) -> dict[str, dict[str, Any]]:
    """run.json of each run of a sweep, by the name of its directory."""
    return {path.parent.name: json.loads(path.read_text()) for path in folder.glob("*/run.json")}


def learning_rate(record: dict[str, Any]) -> float:
    """What ``optimizer.lr`` was overridden with."""
    (override,) = (text for text in record["overrides"] if text.startswith("optimizer.lr="))
    return float(override.split("=")[1])

"""A headless Chromium, and what it is shown: TensorBoard and the report over a real sweep."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser_support import (
    DESKTOP,
    HOSTILE_FOLDER,
    HOSTILE_NAME,
    WAIT_S,
    prefer_colours,
    set_window,
)
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

LEARNING_RATES = (1e-3, 2e-4)
SWEEP = (
    "data=mnist_5k",
    "degradation=column_random",
    "model.hidden=[2]",
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=2",
    "trainer.limit_val_batches=1",
    "metrics.num_samples=16",
    "metrics.final_num_samples=16",
    f"optimizer.lr={','.join(map(str, LEARNING_RATES))}",
)
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def programs() -> dict[str, str]:
    """Where Chromium and its driver are."""
    found = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    if not all(found.values()):
        pytest.skip("needs Debian's chromium and chromium-driver")
    return {name: path for name, path in found.items() if path}


@pytest.fixture(scope="session")
def chromium(programs: dict[str, str]) -> Iterator[Chrome]:
    """One Chromium for all tests; they use ``browser``."""
    options = ChromeOptions()
    options.binary_location = programs["chromium"]
    # No sandbox: CI runs as root. Containers have a /dev/shm that is too small for Chromium.
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "no-proxy-server"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options, Service(programs["chromedriver"]))
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium: Chrome, tmp_path: Path) -> Iterator[Chrome]:
    """Chromium with an empty desktop window and empty logs.

    What the window shows at the end of a test is ``page.png`` in its temporary folder.
    """
    chromium.get("about:blank")
    set_window(chromium, DESKTOP)
    prefer_colours(chromium, "light")
    for log in ("browser", "performance"):
        chromium.get_log(log)
    yield chromium
    chromium.save_screenshot(str(tmp_path / "page.png"))


@pytest.fixture(scope="session")
def sweep(
    programs: dict[str, str], tmp_path_factory: pytest.TempPathFactory, fork_command: Run
) -> Path:
    """A finished sweep of two runs, from the command line."""
    folder = tmp_path_factory.mktemp("browser") / "sweep"
    command = ["-m", *SWEEP, f"hydra.sweep.dir={folder}"]
    finished = fork_command("train", *command, cwd=folder.parent)
    assert finished.returncode == 0, finished.stderr
    return folder


@pytest.fixture(scope="session")
def tensorboard(sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a TensorBoard over the sweep."""
    program = Path(sys.executable).with_name("tensorboard")
    log = tmp_path_factory.mktemp("tensorboard") / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [program, "--logdir", sweep, "--host", "127.0.0.1", "--port", "0"],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield _address(process, log)
    finally:
        process.terminate()
        process.wait(WAIT_S)


@pytest.fixture(scope="session")
def runs(sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep and beside its runs a third, whose name and folder are ``HOSTILE_...``."""
    folder = tmp_path_factory.mktemp("runs") / "sweep"
    shutil.copytree(sweep, folder)
    run_dir = folder / HOSTILE_FOLDER
    shutil.copytree(next(folder.glob("0_*")), run_dir)
    record = json.loads((run_dir / "run.json").read_text())
    record["name"] = record["config"]["name"] = HOSTILE_NAME
    record["config"]["optimizer"]["lr"] = 0.005
    record["overrides"] = [*record["overrides"][:-1], "optimizer.lr=0.005", f"name={HOSTILE_NAME}"]
    record["final_scores"]["final/fid"] += 100
    (run_dir / "run.json").write_text(json.dumps(record))
    return folder


@pytest.fixture(scope="session")
def report(runs: Path, fork_command: Run) -> Path:
    """The folder that ``report.py`` wrote of the three runs."""
    out = runs.parent / "report"
    finished = fork_command("report", f"runs={runs}", f"out={out}", cwd=runs.parent)
    assert finished.returncode == 0, finished.stderr
    return out


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where TensorBoard says that it serves, on the port that it found free."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline and process.poll() is None:
        if said := re.search(r"http://127\.0\.0\.1:\d+/", log.read_text()):
            return said[0]
        time.sleep(0.1)
    raise AssertionError(f"TensorBoard did not start:\n{log.read_text()}")

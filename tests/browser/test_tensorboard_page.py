"""TensorBoard over a real sweep shows what the runs recorded."""

import io
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import numpy as np
import pytest
from browser_support import console_errors, learning_rate, records, wait_for
from PIL import Image
from selenium.webdriver import Chrome

pytestmark = pytest.mark.browser
SCALARS = ("train/loss", "val/loss", "val/fid", "val/is_mean")
# By tag, the table under each chart: the name of each run and its value.
CARDS = """
const cards = visible("scalar-card").map((card) => [
  card.querySelector(".tag").title,
  [...card.querySelectorAll("tb-data-table-content-row")].map((row) =>
    row.innerText.split(/\\s*\\n\\s*/).filter(Boolean))]);
return cards.length === arguments[0] && cards.every(([tag, rows]) => rows.length)
  && Object.fromEntries(cards);
"""
# What is written over each picture of a tag, and its address, once they have come.
PICTURES = """
const loaders = visible("tf-image-loader").filter((loader) =>
  text(loader).split("\\n").includes(arguments[0]));
const pictures = loaders.map((loader) => visible("img", loader)[0]);
return loaders.length === arguments[1] && pictures.every((img) => img?.complete && img.naturalWidth)
  && loaders.map((loader, k) => [text(loader), pictures[k].src]);
"""
# The rows of the table as they are shown, from left to right, the header first.
TABLE = """
const rows = new Map();
for (const content of visible("vaadin-grid-cell-content")) {
  const cell = content.assignedSlot?.parentElement;
  if (!cell?.checkVisibility() || !content.innerText.trim()) continue;
  const row = cell.parentElement;
  rows.set(row, rows.get(row) ?? []);
  rows.get(row)[[...row.children].indexOf(cell)] = content.innerText.trim();
}
const table = [...rows.values()];
return table.length === arguments[0] + 1 && arguments[1].every((name) => table[0].includes(name))
  && table;
"""
TICK = """
const box = visible("paper-checkbox").find((box) => box.innerText.trim() === arguments[0]);
box?.click();
return box;
"""


def test_time_series_hold_each_run_s_losses_and_scores(
    browser: Chrome, tensorboard: str, sweep: Path
) -> None:
    wanted = quote(f"^({'|'.join(SCALARS)})$")
    browser.get(f"{tensorboard}?tagFilter={wanted}#timeseries")
    cards = wait_for(browser, CARDS, len(SCALARS))
    assert set(cards) == set(SCALARS)
    for tag, rows in cards.items():
        values = {row[0]: float(row[2]) for row in rows}
        recorded = {run: record["last_epoch"][tag] for run, record in records(sweep).items()}
        assert values == pytest.approx(recorded, abs=1e-4)
    assert not console_errors(browser)


def test_images_are_the_runs_own_samples(browser: Chrome, tensorboard: str, sweep: Path) -> None:
    browser.get(f"{tensorboard}#images")
    names = set(records(sweep))
    pictures = wait_for(browser, PICTURES, "samples", len(names))
    shown = {name: address for text, address in pictures for name in names & {*text.split("\n")}}
    assert set(shown) == names
    for run, address in shown.items():
        with urlopen(address) as answer, Image.open(io.BytesIO(answer.read())) as image:
            pixels = np.asarray(image.convert("L"))
        with Image.open(sweep / run / "samples" / "epoch_0001.png") as image:
            np.testing.assert_array_equal(pixels, np.asarray(image.convert("L")))
    assert not console_errors(browser)


def test_hparams_sets_the_runs_side_by_side(browser: Chrome, tensorboard: str, sweep: Path) -> None:
    browser.get(f"{tensorboard}#hparams")
    table = wait_for(browser, TABLE, len(records(sweep)), ["degradation", "val/fid"])
    if "optimizer.lr" not in table[0]:  # TensorBoard shows the first few until asked for more
        wait_for(browser, TICK, "optimizer.lr")
        table = wait_for(browser, TABLE, len(records(sweep)), ["optimizer.lr"])
    rows = {row[0]: dict(zip(table[0], row, strict=True)) for row in table[1:]}
    assert set(rows) == set(records(sweep))
    for run, record in records(sweep).items():
        assert rows[run]["degradation"] == "column_random"
        assert float(rows[run]["optimizer.lr"]) == learning_rate(record)
        for score in ("val/fid", "final/fid"):
            recorded = (record["last_epoch"] | record["final_scores"])[score]
            assert float(rows[run][score]) == pytest.approx(recorded, rel=1e-4)
    assert not console_errors(browser)

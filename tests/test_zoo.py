"""The models in zoo/: small, complete, and as good as their cards say."""

import json
import math
from pathlib import Path

import pytest
from commands_support import ROOT, record
from safetensors import safe_open

from thaw.training.loading import load_run, suite_with_reference
from thaw.training.scoring_generated import score_experiment

ZOO = ROOT / "zoo"
NAMES = sorted(path.parent.name for path in ZOO.glob("*/model.safetensors"))
NUM_SAMPLES, MOST_MB, MOST_MB_OF_ALL = 250, 2, 12


def size_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def test_it_is_small() -> None:
    assert NAMES
    assert size_mb(ZOO) < MOST_MB_OF_ALL
    assert max(size_mb(ZOO / name) for name in NAMES) < MOST_MB


@pytest.mark.parametrize("name", NAMES)
def test_its_configuration_names_no_folder_but_data(name: str) -> None:
    with safe_open(ZOO / name / "model.safetensors", framework="pt") as file:
        config = json.loads(file.metadata()["thaw"])["config"]
    assert config["data"].get("root", "data") == "data"
    assert "/" not in json.dumps(config).replace("data/", "")


@pytest.mark.parametrize("name", NAMES)
def test_it_scores_what_its_card_says(name: str) -> None:
    """At a small N the same FID, but for the floors, which are the bias of N real images."""
    stated = record(ZOO / name)["final_scores"]
    card = (ZOO / name / "README.md").read_text()
    assert f"FID {stated['final/fid']:.2f} (floor {stated['final/fid_floor']:.2f})" in card
    assert stated["final/n"] == 10_000
    run = load_run(ZOO / name)
    suite_with_reference(run)
    found = score_experiment(run.experiment, NUM_SAMPLES, NUM_SAMPLES, seed=1)
    above, stated_above = (
        found["fid"] - found["fid_floor"],
        stated["final/fid"] - stated["final/fid_floor"],
    )
    assert above == pytest.approx(stated_above, abs=0.8, rel=0.15)
    # Each digit is as frequent, within four standard deviations of a draw of so few.
    for count, of_all in zip(
        found["class_histogram"], stated["final/class_histogram"], strict=True
    ):
        share = of_all / stated["final/n"]
        deviation = math.sqrt(share * (1 - share) / NUM_SAMPLES)
        assert count / NUM_SAMPLES == pytest.approx(share, abs=4 * deviation + 1 / NUM_SAMPLES)

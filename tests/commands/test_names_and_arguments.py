"""Directory names, claimed directories and the arguments handed to Hydra."""

import multiprocessing
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from thaw.commands.arguments import prepare_arguments
from thaw.commands.directories import (
    MAX_NAME,
    VARYING,
    claim_directory,
    job_name,
    remember_varying,
    run_name,
)


@given(st.text(max_size=400), st.none() | st.text(max_size=50))
def test_a_run_name_is_always_one_safe_path_component(overrides: str, name: str | None) -> None:
    result = run_name(overrides, name)
    assert 0 < len(result.encode()) <= 255
    assert len(result) <= MAX_NAME + 9
    assert result not in (".", "..")
    assert not set(result) & set("/\\ '\",;*?$")


LONG = "__".join(
    ["data=mnist_5k", "model.activation={}", "metrics.final_num_samples=0", "seed={}"]
    + ["x=1"] * 23
)


def test_a_long_name_loses_groups_and_a_longer_one_keeps_the_seed() -> None:
    name = run_name(LONG.format("gelu", 12))
    assert name.startswith("data=mnist_5k__activation=gelu__final_num_samples=0__seed=12__x=1")
    assert run_name(f"{LONG.format('gelu', 12)}__{'y=2__' * 60}z=3").startswith("seed=12__")
    assert run_name("a.b=1__seed=2") == "a.b=1__seed=2"  # a short one is as it is given
    first, second = (run_name("model.hidden=" + "9" * 300 + end) for end in "ab")
    assert first != second


OWN = OmegaConf.create({"dir": "${thaw.sweep_dir:multirun,1,null}"})
GIVEN = OmegaConf.create({"dir": "outputs/mine"})


def test_in_a_sweep_the_names_hold_what_varies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARYING, "")
    assert job_name(0, "degradation=blur__seed=1", None, None, _parent_=OWN) == "0_degradation=blur"
    assert job_name(0, "seed=1", None, None, _parent_=OWN) == "0_default"
    remember_varying(["model.activation", "seed", "x@y.z"])
    long = LONG.format("gelu", 12)
    assert job_name(3, long, None, None, _parent_=OWN) == "3_model.activation=gelu__seed=12"
    assert job_name(3, f"+x@y.z=1__{long}", None, None, _parent_=OWN).startswith("3_+x-y.z=1__")
    assert job_name(3, long, "mine", None, _parent_=OWN) == "3_mine"
    # Another command may write into a folder that is given.
    name = job_name(3, long, None, None, _parent_=GIVEN)
    assert name.startswith("3_activation=gelu__seed=12__data=mnist_5k__")
    assert name != job_name(3, long.replace("x=1", "x=2"), None, None, _parent_=GIVEN)


def test_a_job_of_a_named_sweep_has_one_name_whatever_varies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = OmegaConf.create({"dir": str(tmp_path)})

    def name(overrides: str, *varying: str) -> str:
        remember_varying(varying)
        return job_name(3, overrides, None, "mine", _parent_=sweep)

    monkeypatch.setenv(VARYING, "")
    assert name("a=1__seed=2", "seed") == "a=1__seed=2"  # a short one is as it is given
    first, other = LONG.format("gelu", 12), LONG.format("gelu", 12).replace("x=1", "x=2", 1)
    found = name(first, "seed")
    assert re.fullmatch(r"seed=12~[0-9a-f]{12}", found)
    assert name(other, "seed") != found
    assert name(first, "model.activation").startswith("model.activation=gelu~")
    (tmp_path / found).mkdir()
    assert name(first, "model.activation") == found
    assert name(other, "seed") != found
    # As earlier versions called it.
    (tmp_path / run_name(other)).mkdir()
    assert name(other, "seed") == run_name(other)


def test_a_directory_is_claimed_by_one_process_only(tmp_path: Path) -> None:
    path = str(tmp_path / "outputs" / "run")
    with multiprocessing.get_context("fork").Pool(4) as pool:
        claimed = pool.map(claim_directory, [path] * 1) + [
            pool.apply(claim_directory, (path,)) for _ in range(3)
        ]
    assert all(Path(directory).is_dir() for directory in claimed)
    assert claim_directory(path) == claim_directory(path)
    assert claim_directory(path) not in claimed


def test_sampler_keys_change_a_stored_run_s_sampler_but_are_checked_in_training() -> None:
    assert prepare_arguments(["sampler.num_steps=5"], "evaluate") == ["++sampler.num_steps=5"]
    assert prepare_arguments(["sampler.num_steps=5"], "train") == ["sampler.num_steps=5"]

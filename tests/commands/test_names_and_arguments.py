"""Directory names, claimed directories and the arguments handed to Hydra."""

import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thaw.commands.arguments import prepare_arguments
from thaw.commands.config import (
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


def test_in_a_sweep_what_varies_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARYING, "")
    assert job_name(3, LONG.format("gelu", 12), None, None).startswith("3_data=mnist_5k__")
    remember_varying(["data=mnist_5k", "model.activation=gelu,selu", "seed=range(1,3)", "x=1"])
    name = job_name(3, LONG.format("gelu", 12), None, None)
    assert name.startswith("3_activation=gelu__seed=12__data=mnist_5k__")
    assert job_name(3, "a=1__seed=2", None, None) == "3_seed=2__a=1"
    # A named sweep's jobs are called by their overrides alone, whatever else is in the sweep.
    assert job_name(3, "a=1__seed=2", None, "mine") == "a=1__seed=2"


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

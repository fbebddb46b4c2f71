"""Directory names, claimed directories and the arguments handed to Hydra."""

import multiprocessing
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from thaw.commands.app import prepare_arguments
from thaw.commands.config import (
    MAX_NAME,
    VARYING,
    claim_directory,
    job_name,
    remember_varying,
    run_name,
)
from thaw.commands.errors import InputError


@given(st.text(max_size=400), st.none() | st.text(max_size=50))
def test_a_run_name_is_always_one_safe_path_component(overrides: str, name: str | None) -> None:
    result = run_name(overrides, name)
    assert 0 < len(result.encode()) <= 255
    assert len(result) <= MAX_NAME + 9
    assert result not in (".", "..")
    assert not set(result) & set("/\\ '\",;*?$")


def test_long_names_that_differ_stay_different() -> None:
    first, second = ("model.hidden=" + "9" * 300 + end for end in "ab")
    assert run_name(first) != run_name(second)


FIXED = "data=mnist_5k__metrics.num_restored_each_epoch=0__trainer.limit_train_batches=6"
LONG = "__".join(
    [FIXED, "model.activation={}", "metrics.final_num_samples=0", "seed={}", *["x=1"] * 9]
)


def test_a_long_name_keeps_every_value_and_a_longer_one_the_seed() -> None:
    assert len(run_name(LONG.format("gelu", 12))) < len(LONG) > MAX_NAME
    for activation, seed in (("gelu", 12), ("selu", 12), ("gelu", 13)):
        name = run_name(LONG.format(activation, seed))
        assert f"activation={activation}__" in name
        assert f"__seed={seed}__" in name
    longer = f"{LONG.format('gelu', 12)}__{'y=2__' * 60}z=3"
    assert run_name(longer).startswith("seed=12__")
    assert run_name("a=1__seed=2") == "a=1__seed=2"  # a short one is as it is given


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


@pytest.mark.parametrize(
    "path", ["a b/c,d=e", "it's", "plain/path", "[16,32]x", "ünïcode", "a=b", "tail\\"]
)
def test_any_path_reaches_hydra_as_it_was_typed(path: str) -> None:
    (argument,) = prepare_arguments([f"run={path}"], "evaluate")
    assert OverridesParser.create().parse_override(argument).value() == path


def test_sampler_keys_change_a_stored_run_s_sampler_but_are_checked_in_training() -> None:
    assert prepare_arguments(["sampler.num_steps=5"], "evaluate") == ["++sampler.num_steps=5"]
    assert prepare_arguments(["sampler.num_steps=5"], "train") == ["sampler.num_steps=5"]


def test_resume_opens_the_stored_overrides_and_later_ones_win(tmp_path: Path) -> None:
    run_dir = tmp_path / "a run"
    (run_dir / ".hydra").mkdir(parents=True)
    (run_dir / ".hydra" / "overrides.yaml").write_text("- seed=3\n- model.hidden=[4,4]\n")
    arguments = prepare_arguments([f"resume={run_dir}", "trainer.max_epochs=9"], "train")
    assert arguments[:3] == ["seed=3", "model.hidden=[4,4]", "trainer.max_epochs=9"]
    assert arguments[3] == f"hydra.run.dir='{run_dir}'"
    assert prepare_arguments(["resume=never"], "train") == ["resume=never"]


def test_resuming_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run there"):
        prepare_arguments([f"resume={tmp_path}"], "train")

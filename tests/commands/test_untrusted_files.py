"""Files from elsewhere through the real command line: nothing in them runs, or leads elsewhere."""

import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hostile_files import (
    KINDS,
    SMALL,
    MakesFolder,
    checkpoint,
    everything_in,
    write,
)

from thaw.commands.arguments import prepare_arguments
from thaw.commands.errors import InputError
from thaw.commands.stored import stored_overrides

Run = Callable[..., Any]
OVERRIDES = [*SMALL, "degradation=column_random", "trainer.max_epochs=1"]


@pytest.fixture(scope="module")
def contents() -> dict[str, Any]:
    return checkpoint()


@pytest.fixture
def run_dir(tmp_path: Path, contents: dict[str, Any]) -> Path:
    """What looks like a run that was interrupted."""
    found = write(tmp_path / "run", contents)
    (found / ".hydra").mkdir()
    (found / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(OVERRIDES))
    return found


def refusal(finished: Any) -> str:
    """The one line of what was wrong with an input."""
    assert finished.returncode == 2, finished.stderr
    (line,) = finished.stderr.splitlines()
    assert line.startswith("thaw: ")
    assert "Traceback" not in finished.stdout
    return str(line)


@pytest.mark.parametrize("command", ["train", "sample", "evaluate"])
def test_a_malicious_checkpoint_does_nothing_whoever_is_given_it(
    command: str, run_dir: Path, contents: dict[str, Any], tmp_path: Path, fork_command: Run
) -> None:
    evil = contents | {"callbacks": MakesFolder(tmp_path / "executed")}
    kind = {"sample": "legacy", "evaluate": "pickle"}.get(command, "zip")
    for name in ("last", "previous", "best"):
        (run_dir / "checkpoints" / f"{name}.ckpt").write_bytes(KINDS[kind](evil))
    key = "resume" if command == "train" else "run"
    finished = fork_command(command, f"{key}={run_dir}", cwd=tmp_path)
    line = refusal(finished)
    assert f"{run_dir}/checkpoints/last.ckpt is not a readable checkpoint: it " in line
    assert "nothing of it was executed" in line
    assert not (tmp_path / "executed").exists()
    # Loaded by those who trust it, it would have been.
    with suppress(RuntimeError):  # a bare pickle is none of torch's, but is executed by then
        torch.load(run_dir / "checkpoints" / "best.ckpt", weights_only=False)
    assert (tmp_path / "executed").exists()


def test_a_malicious_encoder_does_nothing(tmp_path: Path, fork_command: Run) -> None:
    name = "encoder.pt"
    (tmp_path / name).write_bytes(pickle.dumps(MakesFolder(tmp_path / "executed")))
    arguments = [*SMALL, f"metrics.encoder={tmp_path / name}", "hydra.run.dir=out"]
    line = refusal(fork_command("train", *arguments, cwd=tmp_path))
    assert name in line
    assert not (tmp_path / "executed").exists()


HOSTILE = {
    "class": "+callbacks.x._target_=os.mkdir",
    "class in a value": "+callbacks.x={_target_: os.mkdir, path: created}",
    "own writer": "+callbacks.x._target_=thaw.storage.write_atomically",
    "hydra": "hydra.run.dir=elsewhere",
    "hydra's package": "+callbacks@hydra.callbacks=default",
    "option": "--config-dir=elsewhere",
    "resolver": "name=${thaw.unique:created}",
    "file": "experiment=../../../../tmp/evil",
    "quoted file": "experiment='/tmp/evil'",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_stored_overrides_that_would_do_more_than_set_values_are_refused(
    kind: str, run_dir: Path
) -> None:
    path = run_dir / ".hydra" / "overrides.yaml"
    path.write_text(yaml.safe_dump([*OVERRIDES, HOSTILE[kind]]))
    with pytest.raises(InputError, match="if it is yours, give the run's own command again"):
        prepare_arguments([f"resume={run_dir}"], "train")


@pytest.mark.parametrize(
    "override",
    [
        "seed=3",
        "degradation.partners._target_=thaw.data.sources.FashionMNIST",
        "data/augment=affine",
        "~logger.tensorboard",
        "name='a b, c=d'",
    ],
)
def test_stored_overrides_that_set_values_are_taken(override: str, run_dir: Path) -> None:
    (run_dir / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump([override]))
    assert stored_overrides(run_dir) == [override]


def test_a_class_of_a_trusted_package_is_taken(run_dir: Path) -> None:
    override = "+callbacks.x._target_=fault_callbacks.EndAt"
    (run_dir / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump([override]))
    with pytest.raises(InputError, match=r"names fault_callbacks\.EndAt"):
        stored_overrides(run_dir)
    assert stored_overrides(run_dir, ["fault_callbacks"]) == [override]
    arguments = prepare_arguments([f"resume={run_dir}", "trusted=[fault_callbacks]"], "train")
    assert arguments[0] == override


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.mkdir [executed]",
        "a: 1",
        "- [seed=1]",
        "- {",
    ],
    ids=["object", "mapping", "list", "cut"],
)
def test_damaged_overrides_are_refused(
    text: str, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (run_dir / ".hydra" / "overrides.yaml").write_text(text)
    with pytest.raises(InputError, match=r"overrides\.yaml (is damaged|holds)"):
        stored_overrides(run_dir)
    assert not (tmp_path / "executed").exists()


def test_resuming_a_hostile_directory_makes_nothing(
    run_dir: Path, tmp_path: Path, fork_command: Run
) -> None:
    created = tmp_path / "created"
    hostile = [f"+hydra.callbacks.x._target_=os.mkdir {created}", *OVERRIDES]
    (run_dir / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(hostile))
    before = dict(everything_in(tmp_path))
    line = refusal(fork_command("train", f"resume={run_dir}", cwd=tmp_path))
    assert "it sets up Hydra itself" in line
    assert dict(everything_in(tmp_path)) == before


@pytest.mark.parametrize(
    ("command", "link"), [("sample", "generated/seed_0/grid.png"), ("evaluate", "evaluations")]
)
def test_a_link_in_a_run_leads_no_command_elsewhere(
    command: str, link: str, run_dir: Path, tmp_path: Path, fork_command: Run
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("mine")
    is_file = "." in link
    (run_dir / link).parent.mkdir(parents=True, exist_ok=True)
    (run_dir / link).symlink_to(victim / "file" if is_file else victim)
    before = dict(everything_in(victim))
    line = refusal(fork_command(command, f"run={run_dir}", "num_samples=2", cwd=tmp_path))
    assert f"{run_dir.name}/{link} is a link" in line
    assert dict(everything_in(victim)) == before


def test_a_sweep_of_hostile_names_stays_in_its_report(
    contents: dict[str, Any], tmp_path: Path, fork_command: Run
) -> None:
    names = ["..x", "a\nb", "$(touch created)", "-rf", "=x,y", "{a: b}", "<b>", "${oc.env:HOME}"]
    for name in names:
        found = write(tmp_path / "sweep" / name, contents)
        (found / "run.json").write_text('{"name": "../../x", "overrides": ["name=../../x"]}')
    before = set(tmp_path.rglob("*"))
    finished = fork_command("report", "runs=sweep", "out=out", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    finished = fork_command(
        "sample", "runs=sweep", "out=samples", "num_samples=1", "animation=null", cwd=tmp_path
    )
    assert finished.returncode == 0, finished.stderr
    made = set(tmp_path.rglob("*")) - before
    inside = (tmp_path / "out", tmp_path / "samples")
    assert all(any(path.is_relative_to(folder) for folder in inside) for path in made)
    grids = {path.parent.name for path in (tmp_path / "samples").glob("*/grid.png")}
    assert grids == set(names)

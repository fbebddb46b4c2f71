"""``replay=DIR`` trains a stored run again, bit for bit; what is refused leaves a run as it was."""

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from commands_support import LEAST, ROOT, record
from hydra import compose, initialize_config_dir

from thaw.commands import config
from thaw.commands.arguments import prepare_arguments
from thaw.commands.errors import InputError
from thaw.commands.stored import compose_from, replayed

Run = Callable[..., Any]
CONF = ROOT / "conf"
SETTINGS = [
    *LEAST,
    "degradation=column_random",
    "metrics.num_restored=0",
    "metrics.num_restored_each_epoch=0",
    "optimizer.lr=0.01",
    "seed=5",
    "deterministic=true",
    "name=first",
]


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def state(run_dir: Path) -> dict[str, torch.Tensor]:
    contents = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    weights: dict[str, torch.Tensor] = contents["state_dict"]
    return weights


def trained(run_dir: Path) -> dict[str, Any]:
    """The configuration of what is trained, without where it is kept."""
    stored = record(run_dir)["config"]
    assert stored["logger"]["tensorboard"].pop("save_dir") == str(run_dir)
    return {key: stored[key] for key in stored if key not in ("name", "replay")}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, fork_command: Run) -> Path:
    """A finished run whose overrides would by now be composed to something else."""
    run_dir = tmp_path_factory.mktemp("replay") / "the 'first'"
    finished = fork_command("train", *SETTINGS, f"hydra.run.dir={run_dir}", cwd=run_dir.parent)
    assert finished.returncode == 0, finished.stderr
    (run_dir / ".hydra" / "overrides.yaml").write_text("[seed=1]\n")
    return run_dir


def test_a_replay_ends_bit_for_bit_as_the_first(original: Path, fork_command: Run) -> None:
    finished = fork_command("train", f"replay={original}", cwd=original.parent)
    assert finished.returncode == 0, finished.stderr
    (run_dir,) = original.parent.glob("outputs/*/*")
    first, second = state(original), state(run_dir)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    assert rows(original) == rows(run_dir)
    assert len(rows(run_dir)) == 1
    assert "WARNING" not in finished.stdout
    assert trained(run_dir) == trained(original)
    one, other = record(original), record(run_dir)
    assert one["choices"] == other["choices"]
    assert other["choices"]["degradation"] == "column_random"
    assert other["config"]["replay"] == str(original)
    assert (other["config"]["name"], other["seed"]) == (None, 5)
    assert "replay=" in run_dir.name


def test_other_versions_code_and_data_are_said_and_changed_keys_win(
    original: Path, tmp_path: Path, fork_command: Run
) -> None:
    stored = tmp_path / "stored"
    shutil.copytree(original, stored)
    contents = record(stored)
    contents["versions"]["torch"] = "0.1"
    contents["git"] = {"commit": "0" * 40, "dirty": False}
    contents["dataset"]["checksum"] = "another"
    (stored / "run.json").write_text(json.dumps(contents))
    finished = fork_command(
        "train",
        f"replay={stored}",
        "trainer.max_epochs=2",
        f"hydra.run.dir={tmp_path / 'new'}",
        cwd=tmp_path,
    )
    assert finished.returncode == 0, finished.stderr
    versions, commit, data = (line for line in finished.stdout.splitlines() if "WARNING" in line)
    assert f"other versions than in {stored}: torch 0.1 (now {torch.__version__[:4]}" in versions
    assert f"another commit than in {stored}: {'0' * 40} (now " in commit
    assert f"other data than in {stored}: {{'name': 'mnist_5k', 'checksum': 'another'}}" in data
    new = rows(tmp_path / "new")
    assert len(new) == 2
    assert new[0] == rows(original)[0]
    assert record(tmp_path / "new")["config"]["trainer"]["max_epochs"] == 2


def test_a_stored_configuration_calls_nothing_that_is_not_trusted(
    original: Path, tmp_path: Path, fork_command: Run
) -> None:
    stored = tmp_path / "stored"
    shutil.copytree(original, stored)
    path = stored / ".hydra" / "config.yaml"
    contents = yaml.safe_load(path.read_text())
    evil = {"_target_": "os.mkdir", "path": str(tmp_path / "made")}
    contents["callbacks"]["evil"] = evil
    contents["hydra"] = {"callbacks": {"evil": evil}}
    contents["defaults"] = [{"override hydra/launcher": "evil"}]
    contents["trusted"] = ["os"]
    path.write_text(yaml.safe_dump(contents))
    refused = fork_command("train", f"replay={stored}", cwd=tmp_path)
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert "os.mkdir at callbacks.evil._target_, which is not a thaw or torch class" in line
    assert not (tmp_path / "made").exists()


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Path]:
    """A run directory with a small stored configuration."""
    config.register()
    (tmp_path / ".hydra").mkdir()
    contents = {
        "seed": 3,
        "data": {"seed": "${seed}", "root": "${oc.env:NOWHERE,data}"},
        "name": "x",
        "resume": "never",
        "sweep": {"name": "study"},
    }
    (tmp_path / ".hydra" / "config.yaml").write_text(yaml.safe_dump(contents))
    return tmp_path


def test_a_changed_key_reaches_what_refers_to_it(stored: Path) -> None:
    name = compose_from(stored, ["seed=4"], CONF)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(name, overrides=["seed=4"])
    assert (cfg.seed, cfg.data.seed, cfg.data.root) == (4, 4, "data")
    assert (cfg.name, cfg.resume, cfg.sweep.name) == (None, "auto", None)


@pytest.mark.parametrize(
    "text",
    ["${ thaw.unique : DIR/made }", "${${seed}:x}"],
    ids=["resolver", "nested"],
)
def test_interpolations_that_call_something_are_refused(text: str, stored: Path) -> None:
    path = stored / ".hydra" / "config.yaml"
    contents = yaml.safe_load(path.read_text()) | {"model": {"hidden": [text]}}
    path.write_text(yaml.safe_dump(contents))
    with pytest.raises(InputError, match="may not hold"):
        compose_from(stored, [], CONF)


@pytest.mark.parametrize("argument", ["sampler=ddim", "+experiment=quickstart", "~ema"])
def test_choices_of_groups_are_refused_beside_replay(argument: str, stored: Path) -> None:
    with pytest.raises(InputError, match="not with a choice"):
        compose_from(stored, [argument], CONF)


def test_the_directory_to_replay_may_hold_blanks_and_quotes() -> None:
    given = "outputs/a b, 'c'=1"
    assert replayed(prepare_arguments([f"replay={given}"], "train")) == Path(given)
    assert replayed(["seed=1"]) is None


def test_to_resume_and_to_replay_at_once_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="either"):
        prepare_arguments([f"resume={tmp_path}", f"replay={tmp_path}"], "train")


def test_a_resumed_run_is_not_started_again_for_it_once_was(stored: Path) -> None:
    (stored / ".hydra" / "overrides.yaml").write_text("[resume=never, seed=2]")
    arguments = prepare_arguments([f"resume={stored}"], "train")
    assert arguments == ["seed=2", f"hydra.run.dir={stored}"]

"""Checkpoints of another model or version, damaged or hostile ones: one line that says which."""

import logging
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hostile_files import KINDS, MakesFolder, changed, checkpoint, everything_in, write, zipped
from PIL import Image

from thaw import runs
from thaw.training.checkpoint_files import FORMAT, newest_good, read_checkpoint
from thaw.training.checkpoint_io import CheckpointFiles
from thaw.training.compatibility import check_fits
from thaw.training.loading import load_run


@pytest.fixture(scope="module")
def contents() -> dict[str, Any]:
    return checkpoint()


def module_of(*overrides: str) -> Any:
    """What going on from a checkpoint asks of the model: its configuration and its tensors."""
    made = checkpoint(*overrides)
    return SimpleNamespace(provenance=made["thaw"], state_dict=lambda: made["state_dict"])


def load(tmp_path: Path, contents: dict[str, Any], **arguments: Any) -> Any:
    return load_run(write(tmp_path / "run", contents), **arguments)


def refused(tmp_path: Path, contents: dict[str, Any], **arguments: Any) -> str:
    """The one line that refuses it; the folder is as it was."""
    run_dir = write(tmp_path / "run", contents)
    before = dict(everything_in(tmp_path))
    with pytest.raises(ValueError, match="last.ckpt") as caught:
        load_run(run_dir, **arguments)
    assert dict(everything_in(tmp_path)) == before
    (line,) = str(caught.value).splitlines()
    return line


def test_what_is_whole_is_loaded(tmp_path: Path, contents: dict[str, Any]) -> None:
    run = load(tmp_path, contents)
    for name, tensor in run.experiment.module.state_dict().items():
        assert torch.equal(tensor, contents["state_dict"][name]), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["alone", "callbacks", "state_dict", "config"])
def test_a_malicious_one_of_any_kind_does_nothing(
    kind: str, place: str, tmp_path: Path, contents: dict[str, Any]
) -> None:
    evil = MakesFolder(tmp_path / "executed")
    hostile: Any = {
        "alone": evil,
        "callbacks": contents | {"callbacks": evil},
        "state_dict": contents | {"state_dict": {"x": evil}},
        "config": changed(contents, seed=evil),
    }[place]
    path = tmp_path / "last.ckpt"
    path.write_bytes(KINDS[kind](hostile))
    for read in (read_checkpoint, CheckpointFiles().load_checkpoint):
        with pytest.raises(
            ValueError, match=r"last\.ckpt is not a readable checkpoint: it "
        ) as caught:
            read(path)
        assert "nothing of it was executed" in str(caught.value)
        assert "will likely succeed" not in str(caught.value)  # torch's advice to run it after all
    assert not (tmp_path / "executed").exists()


WRONG_PLACES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "folder": (lambda path: path.mkdir(), "is a folder, where a checkpoint should be: move it"),
    "pipe": (lambda path: os.mkfifo(path), "is not a file, where a checkpoint should be: move it"),
    "broken link": (lambda path: path.symlink_to("nowhere"), "is not there"),
    "empty": (lambda path: path.touch(), "is not a readable checkpoint: it is empty"),
    "other": (lambda path: path.write_bytes(zipped({"x": 1})), "is not a checkpoint of thaw"),
}


@pytest.mark.parametrize("kind", WRONG_PLACES)
def test_what_is_no_checkpoint_is_named_and_the_one_before_it_offered(
    kind: str, tmp_path: Path, contents: dict[str, Any]
) -> None:
    make, reason = WRONG_PLACES[kind]
    run_dir = write(tmp_path / "run", contents)
    last, previous = (run_dir / path for path in (runs.LAST_CHECKPOINT, runs.PREVIOUS_CHECKPOINT))
    last.rename(previous)
    make(last)
    found, (problem,) = newest_good(run_dir)
    assert found == previous
    assert problem.startswith(f"{last} {reason}")
    if kind != "broken link":  # which is as good as nothing there
        with pytest.raises(ValueError, match=f"{reason}.*; the one before it: .*previous.ckpt"):
            load_run(run_dir)


def test_a_newer_format_is_named_with_both_versions(
    tmp_path: Path, contents: dict[str, Any]
) -> None:
    newer = contents | {"thaw": {**contents["thaw"], "versions": {"thaw": "9.1"}}}
    newer["thaw"]["format"] = FORMAT + 1
    (tmp_path / "last.ckpt").write_bytes(zipped(newer))
    with pytest.raises(ValueError, match=r"is of format 2, written by thaw 9\.1; this is thaw 0\."):
        read_checkpoint(tmp_path / "last.ckpt")


def test_a_configuration_of_another_version_is_named_with_both(
    tmp_path: Path, contents: dict[str, Any]
) -> None:
    model = contents["thaw"]["config"]["model"] | {"attention": "full"}
    other = changed(contents, model=model)
    other["thaw"]["versions"] = {"thaw": "0.7"}
    line = refused(tmp_path, other)
    assert re.search(r"written by thaw 0\.7 \(this is 0\..*\): unknown key model.attention", line)


def test_tensors_that_do_not_fit_their_own_configuration_are_named(
    tmp_path: Path, contents: dict[str, Any]
) -> None:
    model = contents["thaw"]["config"]["model"] | {"hidden": [4, 6]}
    line = refused(tmp_path, changed(contents, model=model))
    assert "does not fit its own configuration: " in line
    assert re.search(r"restorer\.network\.\S+ is \[4[^]]*\], not \[6[^]]*\]", line)
    assert re.search(r"and \d+ more", line)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"model": {"_target_": "os.mkdir", "path": "x"}}, "names os.mkdir at model"),
        ({"seed": "${thaw.unique:created}"}, "holds an interpolation at seed"),
        ({"sampler": None}, ""),
        ({"prior": {"_target_": "thaw.diffusion.samplers.cold.Cold"}}, ""),
    ],
    ids=["target", "resolver", "none", "sampler"],
)
def test_a_hostile_configuration_is_one_line_and_does_nothing(
    parts: dict[str, Any],
    reason: str,
    tmp_path: Path,
    contents: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert reason in refused(tmp_path, changed(contents, **parts))


def test_stored_data_is_read_but_nothing_is_fetched_to_where_it_says(
    tmp_path: Path, contents: dict[str, Any]
) -> None:
    data = {"_target_": "thaw.data.datasets.MNIST", "root": str(tmp_path / "elsewhere")}
    run_dir = write(tmp_path / "run", changed(contents, data=data))
    run = load_run(run_dir)
    with pytest.raises(FileNotFoundError, match="only a folder named by THAW_DATA or data.root"):
        run.experiment.data.setup()
    assert not (tmp_path / "elsewhere").exists()
    assert load_run(run_dir, data_root=str(tmp_path / "mine")).experiment.data.source.may_fetch


def test_stored_images_are_cached_in_the_user_s_own_folder(
    tmp_path: Path, contents: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "images").mkdir()
    for number in range(20):
        Image.new("L", (28, 28), number).save(tmp_path / "images" / f"{number}.png")
    data = {
        "_target_": "thaw.data.datasets.ImageFolder",
        "root": str(tmp_path / "images"),
        "cache": str(tmp_path / "elsewhere"),
        "image_size": 28,
        "channels": 1,
        "test_share": 0.5,
        "batch_size": 2,
    }
    run = load_run(write(tmp_path / "run", changed(contents, data=data, metrics={
        "suite": None, "sampler": None, "num_samples": 0, "final_num_samples": 0,
        "every_n_epochs": 1, "batch_size": 2,
    })))  # fmt: skip
    run.experiment.data.setup()
    assert not (tmp_path / "elsewhere").exists()
    assert list((tmp_path / "cache" / "thaw" / "images").glob("*.uint8"))


OTHER_MODELS = {
    "width": (["model.hidden=[4,6]"], r"model\.hidden \(\[4, 4\] there, \[4, 6\] here\).*network"),
    "optimiser": (["optimizer=sgd"], r"optimizer\._target_ \(torch\.optim\.Adam there"),
    "degradation": (["degradation=row_random"], None),
    "another kind": (["degradation=blur"], r"degradation\._target_ \(thaw\.\S+ there, thaw\.\S+ h"),
}


@pytest.mark.parametrize("kind", OTHER_MODELS)
def test_going_on_from_another_model_names_the_keys_and_the_tensors(
    kind: str, tmp_path: Path, contents: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    overrides, reason = OTHER_MODELS[kind]
    path = write(tmp_path / "run", contents) / runs.LAST_CHECKPOINT
    other = module_of(*overrides)
    if reason is None:
        with caplog.at_level(logging.WARNING):
            check_fits(path, other)
        (warning,) = [record.getMessage() for record in caplog.records]
        assert "with other settings: degradation.axis (column there, row here)" in warning
        return
    with pytest.raises(ValueError, match=f"is of another model: .*{reason}") as caught:
        check_fits(path, other)
    assert "resume=never" in str(caught.value)
    assert str(caught.value).count("\n") == 0


def test_going_on_for_longer_and_with_other_scores_is_not_remarked_on(
    tmp_path: Path, contents: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "run", contents) / runs.LAST_CHECKPOINT
    with caplog.at_level(logging.WARNING):
        check_fits(path, module_of("trainer.max_epochs=7", "metrics.num_samples=9", "name=x"))
    assert not caplog.records


def test_what_a_killed_writer_left_is_cleared_away(
    tmp_path: Path, contents: dict[str, Any]
) -> None:
    run_dir = write(tmp_path / "run", contents)
    (run_dir / "checkpoints" / ".last.ckpt.12345").write_bytes(b"half")
    write(run_dir, contents)
    names = sorted(path.name for path in (run_dir / "checkpoints").iterdir())
    assert names == ["last.ckpt", "previous.ckpt"]


def test_the_previous_one_is_the_one_before_also_without_links(
    tmp_path: Path, contents: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(*_: Any) -> None:
        raise OSError("not here")

    for link in (os.link, no_link):
        monkeypatch.setattr(os, "link", link)
        for epoch in range(3):
            write(tmp_path / "run", contents | {"epoch": epoch})
        epochs = [
            read_checkpoint(tmp_path / "run" / path)["epoch"]
            for path in (runs.LAST_CHECKPOINT, runs.PREVIOUS_CHECKPOINT)
        ]
        assert epochs == [2, 1]
        shutil.rmtree(tmp_path / "run")

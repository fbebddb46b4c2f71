"""What a run says of its code: a commit, a patch that gives the code back, every package."""

import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from thaw import provenance, storage
from thaw.provenance import git_state, requirements


def git(folder: Path, *arguments: str, **options: bytes) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    command = ["git", *identity, *arguments]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, **options
    ).stdout.decode()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository of one commit with an awkward file, without changes."""
    folder = tmp_path / "check out"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "old.py").write_bytes(b"first\r\nsecond \xff\n")
    (folder / "note").write_text("kept\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def test_without_changes_there_is_a_commit_and_no_patch(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD").strip()
    (checkout / "note.txt").write_text("neither in src nor in conf")
    assert git_state(checkout) == ({"commit": commit, "dirty": False}, b"")


def test_the_patch_gives_back_what_was_changed_and_what_is_new(
    checkout: Path, tmp_path: Path
) -> None:
    git(checkout, "config", "color.ui", "always")
    git(checkout, "config", "diff.external", "false")
    changed = {
        "src/old.py": b"first\r\nanother \xfe\n",
        "src/new.py": b"trailing \n\n",
        "conf/any thing.yaml": b"key: value",
    }
    for name, contents in changed.items():
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_bytes(contents)
    (checkout / "note").unlink()
    state, patch = git_state(checkout)
    assert state is not None
    assert state["dirty"]
    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(checkout), str(other))
    git(other, "apply", "-", input=patch)
    for name, contents in changed.items():
        assert (other / name).read_bytes() == contents
    assert not (other / "note").exists()


def test_only_thaw_s_own_repository_counts(
    checkout: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert git_state(checkout / "src") == (None, b"")
    assert git_state(tmp_path) == (None, b"")
    assert not caplog.messages


def test_where_git_refuses_it_is_said_once_with_git_s_words(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert git_state(checkout) == git_state(checkout) == (None, b"")
    (warning,) = caplog.messages
    assert warning.startswith(f"the commit and the changes of {checkout} are not recorded")
    assert "dubious ownership" in warning
    assert f"git config --global --add safe.directory '{checkout}'" in warning


@pytest.mark.parametrize("damage", ["no index", "too slow"])
def test_where_git_fails_nothing_is_claimed(
    damage: str, checkout: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """``dirty`` is not False where nobody could look."""
    commit = git(checkout, "rev-parse", "HEAD").strip()
    if damage == "no index":
        (checkout / ".git" / "index").write_bytes(b"no index")
    else:
        monkeypatch.setattr(provenance, "GIT_TIMEOUT_S", 0)
    known = {"commit": commit, "dirty": None} if damage == "no index" else None
    assert git_state(checkout) == (known, b"")
    (warning,) = caplog.messages
    said = {"no index": "index file", "too slow": "timed out"}
    assert said[damage] in warning
    assert "\n" not in warning


def test_every_installed_package_is_listed_as_pip_takes_it() -> None:
    lines = requirements().splitlines()
    assert f"torch=={metadata.version('torch')}" in lines
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!-]+", line) for line in lines)
    names = [line.split("==")[0].lower() for line in lines]
    assert names == sorted(set(names))
    assert {"thaw-diffusion", "numpy", "filelock"} <= set(names)


def test_a_file_is_touched_only_where_it_differs_and_goes_when_empty(tmp_path: Path) -> None:
    path = tmp_path / "git.diff"
    storage.write_if_changed(path, b"")
    assert not path.exists()
    storage.write_if_changed(path, b"one")
    before = path.stat()
    storage.write_if_changed(path, b"one")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    storage.write_if_changed(path, b"two")
    assert path.read_bytes() == b"two"
    storage.write_if_changed(path, b"")
    assert not path.exists()

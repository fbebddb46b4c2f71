"""Origin of a run: versions, git commit, machine. Needs neither torch nor Lightning."""

import functools
import logging
import os
import platform
import shlex
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from thaw import __version__
from thaw.groups import CONF

log = logging.getLogger(__name__)
# On the package index, where `thaw` is another project's.
NAME = "thaw-diffusion"
PACKAGES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "torchmetrics",
    "hydra-core",
    "omegaconf",
    "numpy",
)
GIT_TIMEOUT_S = 10


def versions() -> dict[str, str | None]:
    """Version of Python and of each package that results depend on, None where not installed."""
    found: dict[str, str | None] = {"python": platform.python_version(), "thaw": __version__}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


@functools.cache
def requirements() -> str:
    """Every installed distribution, a line each as pip takes it (``NAME==VERSION``), sorted."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        # The first one of a name is what is imported.
        found.setdefault(distribution.metadata["Name"], distribution.version)
    return "".join(f"{name}=={found[name]}\n" for name in sorted(found, key=str.lower))


@functools.cache
def git_state(checkout: Path) -> tuple[dict[str, Any] | None, bytes]:
    """The commit of a checkout, whether it was changed since, and the changes as a patch.

    ``{"commit": ..., "dirty": ...}``, None without git or a repository of its own, ``dirty`` None
    where git tells only the commit. New files in ``src`` and ``conf`` are among the changes. The
    answer is kept, because a process runs the code of its start; git's refusal is logged as a
    warning, once.
    """
    if not (checkout / ".git").exists() or shutil.which("git") is None:
        return None, b""
    commit = None
    try:
        answer = _git(checkout, "rev-parse", "--show-toplevel", "HEAD").decode(errors="replace")
        root, _, commit = answer.strip().partition("\n")
        if Path(root).resolve() != checkout.resolve():
            raise OSError(f"{root} is the working tree")
        patch = _changes(checkout)
    except (OSError, subprocess.TimeoutExpired) as error:
        missing = "the changes since" if commit else "the commit and the changes"
        log.warning("%s of %s are not recorded, git says: %s", missing, checkout, error)
        return ({"commit": commit, "dirty": None} if commit else None), b""
    return {"commit": commit, "dirty": bool(patch)}, patch


def _changes(checkout: Path) -> bytes:
    """The patch from the commit to the working tree, new files in ``src`` and ``conf`` included."""
    plain = ("diff", "--no-color", "--no-ext-diff", "--no-textconv", "--binary")
    patch = _git(checkout, *plain, "HEAD")
    new = _git(checkout, "ls-files", "--others", "--exclude-standard", "-z", "--", "src", "conf")
    for name in filter(None, new.split(b"\0")):
        patch += _git(checkout, *plain, "--no-index", "--", os.devnull, os.fsdecode(name))
    return patch


def processor() -> str:
    """The CPU's model, where the system names it, and the number of cores for this process."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):  # not Linux, or a machine that does not name it
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores"


def tensorboard_command(logdir: Path) -> str:
    """The command that shows a folder in this environment's TensorBoard."""
    return f"{program('tensorboard')} --logdir {shlex.quote(str(logdir))}"


def sample_command(run_dir: Path, *arguments: str) -> str:
    """The command that samples a run, as this command was given: ``thaw``, or a script."""
    script = Path(sys.argv[0]).with_name("sample.py")
    command = [program("python"), str(script)] if script.is_file() else [program("thaw"), "sample"]
    return shlex.join([*command, f"run={run_dir}", *arguments])


def install_command(extra: str) -> str:
    """How to install an extra of thaw: from the package index, or in a checkout."""
    is_checkout = (CONF.parent / "pyproject.toml").is_file()
    return f"pip install {'-e ' if is_checkout else ''}'{'.' if is_checkout else NAME}[{extra}]'"


def program(name: str) -> str:
    """A program of this environment, as it is typed from the current directory."""
    path = Path(sys.executable).with_name(name)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _git(checkout: Path, *arguments: str) -> bytes:
    """Output of a git command, as it is; OSError with what git says where it fails."""
    command = ["git", *arguments]
    result = subprocess.run(command, cwd=checkout, capture_output=True, timeout=GIT_TIMEOUT_S)
    # 1 is a difference; with an error there may be half an answer.
    if result.returncode not in (0, 1):
        raise OSError(" ".join(result.stderr.decode(errors="replace").split()))
    return result.stdout

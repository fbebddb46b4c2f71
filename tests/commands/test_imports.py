"""What a command imports before it works: of whole libraries that it does not need, none."""

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from thaw.commands.start import help_text

Run = Callable[..., subprocess.CompletedProcess[str]]
# Each takes as long as torch, or longer.
OF_TRAINING = ("pytorch_lightning", "torchmetrics", "torchvision", "torch._dynamo", "sklearn")


def in_new_process(script: str, *arguments: object, cwd: Path) -> str:
    """What a script prints, in a process that has imported nothing."""
    ended = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


USING = f"""
import sys
from thaw.commands.start import run
from thaw.data.sources import MNIST

run_dir, root = sys.argv[1:]
for arguments in (
    ["sample.py", "num_samples=4", "out=generated"],
    ["sample.py", "task=restore", "num_samples=4", "out=restored"],
    ["sample.py", "task=restore", "images=restored/degraded", "degraded=true", "out=again"],
    ["report.py", "out=report"],
):
    sys.argv = [*arguments, f"run='{{run_dir}}'"]
    try:
        run(arguments[0].removesuffix(".py"))
    except SystemExit as ended:
        assert not ended.code, arguments
MNIST(root).load()
found = set({OF_TRAINING}) & set(sys.modules)
assert not found, found
"""


def test_using_a_run_needs_nothing_that_only_training_does(cold_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for split in ("train", "t10k"):
        images = b"\0\0\x08\3" + struct.pack(">3I", 2, 28, 28) + bytes(2 * 28 * 28)
        (folder / f"{split}-images-idx3-ubyte").write_bytes(images)
        labels = b"\0\0\x08\1" + struct.pack(">I", 2) + bytes(2)
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(labels)
    in_new_process(USING, cold_run, tmp_path, cwd=tmp_path)
    for written in ("generated/grid.png", "restored/scores.json", "again/restoration.png"):
        assert (tmp_path / written).is_file()
    assert (tmp_path / "report" / "index.html").is_file()


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_plain_help_is_what_hydra_prints_and_needs_no_hydra(
    option: str, fork_command: Run, tmp_path: Path
) -> None:
    script = (
        f"import sys; sys.argv = ['train.py', {option!r}]\n"
        "from thaw.commands.start import run\n"
        "try: run('train')\n"
        "except SystemExit as e: assert not e.code\n"
        "assert not {'hydra', 'omegaconf', 'torch', 'numpy'} & set(sys.modules)"
    )
    plain = in_new_process(script, cwd=tmp_path)
    assert plain == fork_command("train", option, "seed=0", cwd=tmp_path).stdout
    assert not list(tmp_path.iterdir())


def test_help_with_the_whole_configuration_is_left_to_hydra(
    fork_command: Run, tmp_path: Path
) -> None:
    assert not help_text("report")
    assert "num_shown: 24" in fork_command("report", "--help", cwd=tmp_path).stdout


FROM_PYTHON = f"""
import sys
import thaw
loaded = set(sys.modules)
assert not {{"torch", "numpy", "hydra", "omegaconf", "yaml"}} & loaded
run = thaw.load(sys.argv[1])
images = run.sample(4)
run.restore(run.degrade(images, 3), t=3)
run.trajectory(2)
run.history, repr(run), run._repr_html_(), thaw.grid(images)
import thaw.diffusion, thaw.networks
found = set({OF_TRAINING}) & set(sys.modules)
assert not found, found
"""


def test_a_run_loaded_from_python_needs_nothing_that_only_training_does(
    cold_run: Path, tmp_path: Path
) -> None:
    in_new_process(FROM_PYTHON, cold_run, cwd=tmp_path)

"""What `make bundle` packs, and what its run.sh does where packages are missing and no index is."""

import gzip
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import venv
from importlib import metadata
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from commands_support import ROOT, record

MISSING = ("hydra-core", "omegaconf", "antlr4-python3-runtime", "mlxtend", "hydra-joblib-launcher",
           "annotated-types", "diffusers")  # fmt: skip
MODULES = (
    "hydra",
    "hydra_plugins",
    "omegaconf",
    "antlr4",
    "mlxtend",
    "annotated_types",
    "diffusers",
)
DIGITS = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
MOST_BYTES, MOST_BYTES_A_FILE = 60 * 2**20, 16 * 2**20
RUN = "ddpm_selu_100"
TINY = """model.hidden=[2] model.kernel_size=3 trainer.max_epochs=8 trainer.limit_train_batches=2
    trainer.limit_val_batches=1 metrics.num_samples=20 metrics.final_num_samples=20
    metrics.num_restored=20 metrics.num_restored_each_epoch=5 sampler.num_steps=5
    metrics.sampler.num_steps=5 callbacks.samples.num_samples=4 callbacks.forward_process=null"""
WAIT_S = 300


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels of the bundle, made again from what is installed: no index is asked."""
    folder = tmp_path_factory.mktemp("wheels")
    names = [line for line in (ROOT / "bundle/wheels.txt").read_text().split("\n") if line]
    for name in (name for name in names if not name.startswith("#")):
        found = metadata.distribution(name)
        stem = f"{name.replace('-', '_')}-{found.version}"
        tag = "py3-none-any" if name != "safetensors" else "cp38-abi3-linux_x86_64"
        with ZipFile(folder / f"{stem}-{tag}.whl", "w", ZIP_DEFLATED) as wheel:
            for file in found.files or ():
                if ".." not in file.parts and "__pycache__" not in file.parts:
                    wheel.write(str(file.locate()), str(file))
    return folder


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has what is installed here, but for the packages that are typically missing."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder / "venv", symlinks=True)
    (folder / "links").mkdir()
    hidden = (*MODULES, *(name.replace("-", "_") for name in MISSING), "thaw", "__editable__")
    installed = Path(str(metadata.distribution("torch").locate_file("")))
    for path in installed.iterdir():
        if not path.name.startswith(hidden) and path.suffix != ".pth":
            (folder / "links" / path.name).symlink_to(path)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    (site / "links.pth").write_text(f"{folder / 'links'}\n")
    return folder / "venv/bin/python"


def pack(folder: Path, wheels: Path, **environment: str) -> Path:
    """The bundle, made in a folder; without MNIST unless THAW_DATA is given."""
    given = {"WHEELS": str(wheels), "BUNDLE": str(folder / "bundle"), "PYTHON": sys.executable}
    variables = os.environ | given | {"THAW_DATA": str(folder / "none")} | environment
    subprocess.run([ROOT / "bundle/pack.sh"], env=variables, cwd=folder, check=True)
    return folder / "bundle"


def start(
    bundle: Path, python: Path, folder: Path, *phases: str, **environment: str
) -> subprocess.Popen[str]:
    """run.sh in a folder that holds out/ and work/, as where there is neither thaw nor an index."""
    out, work = str(folder / "out"), str(folder / "work")
    given = {
        "OUT": out,
        "WORK": work,
        "PYTHON": str(python),
        "OVERRIDES": TINY,
        "PIP_NO_INDEX": "1",
    }
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "THAW_DATA")}
    variables |= given | {"CUDA_VISIBLE_DEVICES": ""} | environment
    command = [bundle / "run.sh", *phases]
    return subprocess.Popen(command, env=variables, cwd=folder, stdout=subprocess.PIPE, text=True)


def packages(
    python: Path, project: Path, wheels: Path, site: Path
) -> subprocess.CompletedProcess[str]:
    command = [python, ROOT / "bundle/packages.py", project, wheels, site]
    environment = os.environ | {"PIP_NO_INDEX": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def unpacked(out: Path, phase: str, folder: Path) -> Path:
    """The run directories of a phase, as docs/gpu.md says to unpack them."""
    folder.mkdir(parents=True)
    parts = f"cat {out}/{phase}.tgz.* | tar xz -C {folder}"
    subprocess.run(parts, shell=True, check=True)
    return folder


def epochs(run_dir: Path) -> list[list[str]]:
    """Epoch, step and losses of each epoch."""
    path = run_dir / "metrics.csv"
    lines = path.read_text().splitlines()[1:] if path.is_file() else []
    return [line.split(",")[:4] for line in lines]


def test_the_bundle_holds_the_project_the_digits_and_the_wheels(
    tmp_path: Path, wheels: Path
) -> None:
    raw = tmp_path / "data/MNIST/raw"
    raw.mkdir(parents=True)
    for part in DIGITS:
        (raw / f"{part}-ubyte").write_text(part)
    state = tmp_path / "state"
    state.mkdir()
    (state / "study.tgz.aa").write_text("earlier")
    bundle = pack(tmp_path, wheels, THAW_DATA=str(tmp_path / "data"), STATE=str(state))
    for part in DIGITS:
        assert gzip.decompress((bundle / f"MNIST/{part}-ubyte.gz").read_bytes()) == part.encode()
    with tarfile.open(bundle / "project.tgz") as project:
        names = project.getnames()
    assert {"train.py", "conf/train.yaml", "bundle/study.py", "tests/test_bundle.py"} <= set(names)
    assert not [name for name in names if name.startswith((".venv", "build", "outputs"))]
    assert len(list((bundle / "wheels").iterdir())) == len(list(wheels.iterdir()))
    assert (bundle / "state/study.tgz.aa").read_text() == "earlier"
    assert sum(path.stat().st_size for path in bundle.rglob("*")) < MOST_BYTES


def test_missing_packages_come_from_the_bundle_and_others_stay(
    tmp_path: Path, wheels: Path, bare_python: Path
) -> None:
    finished = packages(bare_python, ROOT, wheels, tmp_path / "site")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    found = {path.name.split("-")[0] for path in (tmp_path / "site").glob("*.dist-info")}
    assert found == {name.replace("-", "_") for name in MISSING}
    used = [bare_python, "-c", "import hydra, omegaconf, mlxtend.data; print(hydra.__file__)"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    shown = subprocess.run(used, env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout.startswith(str(tmp_path / "site"))


def test_what_no_wheel_can_mend_is_named(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    text = (ROOT / "pyproject.toml").read_text()
    wrong = text.replace('"torch>=2.11"', '"torch>=99", "nonesuch>=1"')
    (tmp_path / "pyproject.toml").write_text(wrong)
    finished = packages(Path(sys.executable), tmp_path, tmp_path / "wheels", tmp_path / "site")
    assert finished.returncode == 1
    lines = [line for line in finished.stdout.splitlines() if line.startswith("NOT AS NEEDED")]
    assert [line.split(";")[0] for line in lines] == [
        f"NOT AS NEEDED: torch {metadata.version('torch')} is not >=99",
        "NOT AS NEEDED: nonesuch is missing",
    ]


@pytest.mark.slow
def test_all_phases_run_where_packages_are_missing(
    tmp_path: Path, wheels: Path, bare_python: Path
) -> None:
    bundle = pack(tmp_path, wheels)
    small = {"SMOKE": "ema data", "SPEED": "variants", "VARIANTS": "channels_last=true"}
    daemon = tmp_path / "bin/nvidia-cuda-mps-control"  # notes what it is asked
    daemon.parent.mkdir()
    daemon.write_text(f'#!/bin/sh\n[ $# = 0 ] && read line\necho "$* $line" >>{tmp_path}/asked\n')
    daemon.chmod(0o755)
    process = start(
        bundle, bare_python, tmp_path, "smoke", "speed", "study", "best",
        RUNS_STUDY=RUN, EPOCHS="2", RUNS_BEST="columns_random_seed_1", SCORE_S="0",
        PATH=f"{daemon.parent}:{os.environ['PATH']}", **small,
    )  # fmt: skip
    said, _ = process.communicate(timeout=3 * WAIT_S)
    out = tmp_path / "out"
    assert process.returncode == 0, said
    assert "0 failed" in said
    assert "skipped" in said  # the tests marked gpu
    assert (tmp_path / "asked").read_text().split() == ["-d", "quit"] * 2  # study, then best
    results = json.loads((out / "results.json").read_text())
    smoke, speed = results["smoke"], results["speed"]["variants"]
    assert smoke["ema=standard"] == "ok on cpu"
    assert smoke["data=mnist"].startswith("left out")
    assert speed["outcome"] == "done", speed
    assert [line for line in speed["output"] if "channels_last" in line and "s an epoch" in line]
    for phase, run, num_epochs in (("study", RUN, 2), ("best", "columns_random_seed_1", 8)):
        run_dir = unpacked(out, phase, tmp_path / phase) / run
        assert record(run_dir)["status"] == "completed", said
        assert record(run_dir)["seed"] == int(phase == "best")
        assert len(epochs(run_dir)) == num_epochs
        assert [path.name for path in run_dir.rglob("*.ckpt")] == ["last.ckpt"]
        assert not list(run_dir.rglob("events.out*"))
    files = list(out.iterdir())
    assert len(files) <= 8
    assert max(path.stat().st_size for path in files) < MOST_BYTES_A_FILE


@pytest.mark.slow
def test_a_study_that_was_stopped_goes_on_from_the_packed_state(
    tmp_path: Path, wheels: Path, bare_python: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    study = {"RUNS_STUDY": RUN, "EXACT": "1"}
    bundle = pack(first, wheels)
    process = start(bundle, bare_python, first, "study", "speed", EPOCHS="100000", **study)
    run_dir = first / "work/runs/study" / RUN
    end = time.monotonic() + WAIT_S
    while len(epochs(run_dir)) < 2 and time.monotonic() < end:
        time.sleep(0.2)
    process.terminate()
    said, _ = process.communicate(timeout=WAIT_S)
    assert f"{RUN}: interrupted" in said, said
    assert "== speed" not in said
    before = epochs(unpacked(first / "out", "study", tmp_path / "unpacked") / RUN)
    assert len(before) >= 2

    shutil.rmtree(first / "work")
    bundle = pack(second, wheels, STATE=str(first / "out"))
    wanted = len(before) + 2
    process = start(
        bundle, bare_python, second, "speed", "study", EPOCHS=str(wanted), LIMIT_SPEED="3",
        SPEED="sampling", **study,
    )  # fmt: skip
    said, _ = process.communicate(timeout=WAIT_S)
    assert "sampling cut by its limit" in said
    run_dir = unpacked(second / "out", "study", tmp_path / "again") / RUN
    assert record(run_dir)["status"] == "completed", said
    assert record(run_dir)["final_scores"]["epoch"] == wanted
    assert epochs(run_dir)[: len(before)] == before
    assert len(epochs(run_dir)) == wanted

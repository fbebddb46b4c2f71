"""The page on pairs, by the real command line: its script, its commands, and what they refuse."""

import json
import re
import shlex
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands_support import LEAST, ROOT, assert_refused, record
from PIL import Image

import thaw
from thaw.data.sources import ImageSet, MNIST5k
from thaw.metrics.restored import ssim

Run = Callable[..., Any]
PAGE = (ROOT / "docs" / "pairs.md").read_text()
NUM_TRAIN, NUM_TEST = 160, 20


def commands(folder: Path) -> list[list[str]]:
    """Each command of the example in a folder, split as a shell does, without ``python``."""
    (block,) = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    block = block.replace("\\\n", " ").replace("$PWD", str(folder))
    return [shlex.split(line)[1:] for line in block.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, fork_command: Run) -> Path:
    """Where all commands of the example have been run, trained for four steps."""
    folder = tmp_path_factory.mktemp("pairs")
    (script,) = re.findall(r"\*\*`make_pairs.py`\*\*\n\n```python\n(.*?)```", PAGE, re.DOTALL)
    few = [
        ImageSet(each.images[:size], each.labels[:size])
        for each, size in zip(MNIST5k().load(), (NUM_TRAIN, NUM_TEST), strict=True)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MNIST5k, "load", lambda _: few)
        patch.chdir(folder)
        exec(compile(script, "make_pairs.py", "exec"), {})
    first, *others = commands(folder)
    assert first == ["make_pairs.py"]
    for file, *arguments in others:
        command = file.removesuffix(".py")
        quick = [
            "trainer.max_epochs=1", "trainer.limit_train_batches=4", "data.batch_size=16",
            "metrics.num_restored=20", "metrics.num_restored_each_epoch=5",
        ] if command == "train" else []  # fmt: skip
        finished = in_folder(fork_command, folder, command, *arguments, *quick)
        assert finished.returncode == 0, finished.stderr
    return folder


def in_folder(fork_command: Run, folder: Path, command: str, *arguments: str) -> Any:
    return fork_command(command, *arguments, cwd=folder, XDG_CACHE_HOME=str(folder / "cache"))


def values(folder: Path) -> np.ndarray:
    return np.stack([np.load(path) for path in sorted(folder.glob("*.npy"))])


def scans(folder: Path, kind: str) -> np.ndarray:
    paths = sorted((folder / "digits" / "test" / kind).iterdir())
    return np.stack([np.asarray(Image.open(path)) for path in paths])


def test_a_folder_is_restored_in_the_units_of_its_files(folder: Path) -> None:
    out = folder / "restored"
    names = {path.name for path in out.iterdir()}
    stages = {"degraded", "direct", "algorithm_1", "algorithm_2"}
    assert names == stages | {"restoration.png", "restoration.npz"}
    files = [path.name for path in sorted((out / "direct").iterdir())]
    assert files == [f"{n:05d}_{n:04d}.npy" for n in range(NUM_TEST)]
    assert values(out / "degraded").dtype == np.float32
    assert np.abs(values(out / "degraded") - scans(folder, "degraded")).max() < 0.01
    for stage in stages:
        found = values(out / stage)
        assert found.min() >= 0
        assert found.max() <= 4095
        assert len(np.unique(found)) > 256 or stage == "degraded"


def test_partners_give_the_scores_that_the_test_pairs_give(folder: Path) -> None:
    compared = json.loads((folder / "compared" / "scores.json").read_text())
    (own,) = (folder / "low_dose" / "restored").glob("*/scores.json")
    of_split = json.loads(own.read_text())
    assert compared["n"] == of_split["n"] == NUM_TEST
    clean = torch.from_numpy(scans(folder, "clean").astype(np.float64) / 4095)[:, None]
    assert np.abs(values(folder / "compared" / "original") - scans(folder, "clean")).max() < 0.01
    for stage in ("degraded", "direct", "algorithm_2"):
        for name in compared[stage].keys() - {"seconds"}:
            # The same images in another order, which a small variance of float32 feels.
            near = 1e-2 if name.endswith("_error") else 1e-4
            assert compared[stage][name] == pytest.approx(of_split[stage][name], rel=near)
        found = values(folder / "compared" / stage).astype(np.float64) / 4095
        assert np.array_equal(found.astype(np.float32), (values(folder / "restored" / stage)
                              .astype(np.float64) / 4095).astype(np.float32))  # fmt: skip
        restored = torch.from_numpy(found)[:, None]
        error = (restored - clean).square().mean()
        psnr = -10 * torch.log10(error).item()
        if stage == "degraded":  # which is not clipped any further
            assert compared[stage]["psnr"] == pytest.approx(psnr, abs=1e-3)
            assert compared[stage]["ssim"] == pytest.approx(
                ssim(restored, clean).mean().item(), abs=1e-4
            )
        # The files are clipped to the range: no loss, and of a model so young a small gain.
        assert psnr - 0.5 <= compared[stage]["psnr"] <= psnr + 1e-3


def test_the_run_has_its_figures_and_scores(folder: Path) -> None:
    run_dir = folder / "low_dose"
    assert (run_dir / "figures" / "forward_process.png").is_file()
    assert (run_dir / "figures" / "restoration.png").is_file()
    assert (run_dir / "samples" / "epoch_0001.png").is_file()
    scores = record(run_dir)["restoration"]
    assert scores["n"] == 20
    assert scores["direct"].keys() >= {"psnr", "ssim", "rmse", "psnr_error"}


def test_a_report_and_generated_images(folder: Path, fork_command: Run) -> None:
    finished = in_folder(fork_command, folder, "report", "runs=low_dose", "out=report")
    assert finished.returncode == 0, finished.stderr
    assert "paired" in (folder / "report" / "index.html").read_text().casefold()
    finished = in_folder(fork_command, folder, "sample", "run=low_dose", "num_samples=4")
    assert finished.returncode == 0, finished.stderr
    (samples,) = (folder / "low_dose" / "generated").glob("*/samples.npz")
    assert np.load(samples)["images"].shape == (4, 28, 28, 1)


def test_python_takes_pairs_as_the_data_has_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    run = thaw.load(folder / "low_dose")
    images = run.data.test_images[:4]
    assert (images.dtype, images.shape) == (torch.float32, (4, 2, 28, 28))
    stages = run.restore(images)
    torch.testing.assert_close(stages["original"], images[:, :1], rtol=0, atol=1e-4)
    torch.testing.assert_close(stages["degraded"], images[:, 1:], rtol=0, atol=1e-4)
    alone = run.restore(images[:, 1:], is_degraded=True)
    assert [*alone] == [*stages][1:]
    assert all(torch.equal(alone[name], stages[name]) for name in alone)
    torch.testing.assert_close(run.degrade(images, 0), images[:, :1], rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match=r"images must be float32 \[N, 2, 28, 28\], got"):
        run.restore(images[:, :1])


def test_a_killed_run_goes_on_bit_for_bit(folder: Path, fork_command: Run) -> None:
    least = [each for each in LEAST if not each.startswith(("data=", "trainer.max", "schedule"))]
    arguments = [
        *least, *("data=paired_folder", "data.root=digits", "data.image_size=28"),
        *("data.value_range=[0,4095]", "degradation=paired", "trainer.max_epochs=3"),
        "trainer.limit_train_batches=6", "checkpoint.every_n_steps=4", "data.batch_size=16",
    ]  # fmt: skip
    fault = [
        "+callbacks.fault._target_=fault_callbacks.EndAt", "+callbacks.fault.step=9",
        f"+callbacks.fault.signal_number={int(signal.SIGKILL)}",
    ]  # fmt: skip
    whole = in_folder(fork_command, folder, "train", *arguments, "hydra.run.dir=whole")
    assert whole.returncode == 0, whole.stderr
    killed = in_folder(fork_command, folder, "train", *arguments, *fault, "hydra.run.dir=killed")
    assert killed.returncode == -signal.SIGKILL
    again = in_folder(fork_command, folder, "train", *arguments, "hydra.run.dir=killed")
    assert again.returncode == 0, again.stderr
    one, other = (
        torch.load(folder / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("whole", "killed")
    )
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    # Each pair once, with all of its bits.
    assert one["prior.images"].shape == (NUM_TRAIN, 2, 28, 28)
    assert one["prior.images"].dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["images=odd", "partners=digits/test/clean"], ["odd/0001.png is 28 x 30", "clean/0001"]),
        (["images=odd", "partners=digits/train"], ["odd/0000.png has no partner digits/train/0"]),
        (["images=digits/test/degraded", "t=3"], ["leave out t=3", "partners="]),
        (["partners=digits/test/clean"], ["partners= needs images="]),
        (["images=broken", "partners=broken"], ["broken/a.npy is not an image"]),
    ],
)
def test_wrong_input_is_one_line_before_any_work(
    folder: Path, fork_command: Run, arguments: list[str], expected: list[str]
) -> None:
    for name, sides in (("odd/0000.png", (28, 28)), ("odd/0001.png", (28, 30))):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros(sides, np.uint16)).save(folder / name)
    (folder / "broken").mkdir(exist_ok=True)
    (folder / "broken" / "a.npy").write_bytes(b"\x93NUMPY and no more")
    shared = ["run=low_dose", "task=restore", "out=refused"]
    finished = in_folder(fork_command, folder, "sample", *shared, *arguments)
    assert_refused(finished, *expected)
    assert not (folder / "refused").exists()


def test_a_training_without_a_partner_ends_before_its_first_step(
    folder: Path, fork_command: Run
) -> None:
    shutil.copytree(folder / "digits" / "test", folder / "few" / "train")
    shutil.copytree(folder / "digits" / "test", folder / "few" / "test")
    (folder / "few" / "train" / "degraded" / "0007.png").unlink()
    arguments = [*LEAST[1:], "data=paired_folder", "data.root=few", "data.value_range=[0,4095]"]
    finished = in_folder(fork_command, folder, "train", *arguments, "degradation=paired")
    assert_refused(finished, "few/train/clean/0007.png has no partner")


def test_partners_belong_to_a_run_of_pairs(folder: Path, cold_run: Path, fork_command: Run) -> None:
    images = "images=digits/test/degraded"
    finished = in_folder(
        fork_command, folder, "sample", f"run={cold_run}", "task=restore", images, "partners=digits"
    )
    assert_refused(finished, "partners= needs a run of images with partners")

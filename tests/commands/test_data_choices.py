"""Data of the user's own and metrics to fit, by the real commands."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from commands_support import TINY, record
from PIL import Image

SMALL = [option for option in TINY if not option.startswith(("data=", "model."))]
CNN = ["model=cnn", "model.hidden=[4,4]", "model.kernel_size=3"]
ONE_STEP = ["trainer.max_epochs=1", "trainer.limit_train_batches=1", "data.batch_size=8"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """60 colour images of 32 x 32, of two classes."""
    draw = np.random.default_rng(0)
    folder = tmp_path / "my pictures"
    for number in range(60):
        path = folder / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (32, 32, 3), np.uint8)).save(path)
    return folder


def test_a_folder_of_colour_images_is_trained_on_and_sampled_from(
    pictures: Path, fork_command, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "THAW_DATA": str(tmp_path)}
    choices = ["data=image_folder", f"data.root={pictures}", "metrics=none", "data/augment=flip"]
    finished = fork_command(
        "train",
        *(SMALL + CNN + choices + ONE_STEP),
        f"hydra.run.dir={run_dir}",
        cwd=tmp_path,
        **environment,
    )
    assert finished.returncode == 0, finished.stderr
    assert record(run_dir)["dataset"]["name"] == "image_folder"
    assert Image.open(run_dir / "samples" / "epoch_0001.png").mode == "RGB"
    # What was learned needs the images no more, and trusts torchvision's transforms.
    shutil.rmtree(pictures)
    sampled = fork_command(
        "sample", f"run={run_dir}", "num_samples=2", "animation=null", cwd=tmp_path, **environment
    )
    assert sampled.returncode == 0, sampled.stderr
    image = Image.open(run_dir / "generated" / "seed_0" / "images" / "00000.png")
    assert (image.mode, image.size) == ("RGB", (32, 32))


def test_an_encoder_of_ones_own_folder_scores_it(
    pictures: Path, fork_command, tmp_path: Path
) -> None:
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    choices = ["data=image_folder", f"data.root={pictures}", "data.batch_size=8"]
    made = fork_command("train_encoder", *choices, "epochs=1", cwd=tmp_path, **environment)
    assert made.returncode == 0, made.stderr
    hint = "data=image_folder metrics=mnist metrics.encoder=encoders/image_folder.safetensors"
    assert hint in made.stdout + made.stderr
    assert "; on cpu; to do: train a classifier for 1 epochs" in made.stdout
    finished = fork_command(
        "train",
        *(SMALL + CNN + ONE_STEP + hint.split()),
        f"data.root={pictures}",
        "hydra.run.dir=run",
        cwd=tmp_path,
        **environment,
    )
    assert finished.returncode == 0, finished.stderr
    contents = record(tmp_path / "run")
    assert contents["encoder"].startswith("image_folder-cnn-v1-")
    assert contents["final_scores"]["final/fid"] > 0


def test_offline_the_metrics_of_other_data_are_refused_before_training_with_the_ways_out(
    fork_command, tmp_path: Path
) -> None:
    nobody = "http://127.0.0.1:9"
    environment = {"TORCH_HOME": str(tmp_path), "http_proxy": nobody, "https_proxy": nobody}
    start = time.monotonic()
    finished = fork_command("train", "data=fashion_mnist", cwd=tmp_path, **environment)
    assert time.monotonic() - start < 60
    assert finished.returncode == 2
    line = finished.stderr.splitlines()[-1]
    for words in ("Inception", "metrics.weights_path", "train_encoder.py", "metrics=none"):
        assert words in line
    assert line.endswith("metrics=none")
    assert not list(tmp_path.rglob("*.ckpt"))

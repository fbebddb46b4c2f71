"""What a page plays of a run, held against the objects of the run."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from thaw.diffusion.restoration import Restoration
from thaw.reporting.films import Film, films_of
from thaw.training.loading import load_run

# WebP loses some of a picture: mean difference in 0..255.
LOSS = 5


def frames(film: Film, name: str) -> np.ndarray:
    """A row's images, ``[T, B, H, W]`` in 0..255."""
    uri = dict(film.rows)[name]
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    picture = np.asarray(image.convert("L"), dtype=float)
    height = picture.shape[0] // len(film.ts)
    rows = picture.reshape(len(film.ts), height, -1, height)
    return rows.transpose(0, 2, 1, 3)


def test_films_are_of_the_run_s_own_images_and_ways(cold_run: Path) -> None:
    films = films_of(cold_run, "a run")
    run = load_run(cold_run).experiment
    run.data.setup()
    degradation, pixels = run.restorer.degradation, run.restorer.pixel_range
    assert (films.title, films.num_steps, films.classes) == ("a run", degradation.num_steps, 0)

    (forward,) = films.views["forward"]
    assert (forward.ts[0], forward.ts[-1]) == (degradation.num_steps, 0)
    images = run.data.test_images[:8]
    x_0 = pixels.from_uint8(images)
    for k, t in enumerate(forward.ts):
        x_t = degradation(x_0, torch.full((8,), t), torch.empty(8, 0)) if t else x_0
        by_hand = pixels.to_uint8(x_t)[:, 0].numpy()
        assert np.abs(frames(forward, "x_t")[k] - by_hand).mean() < LOSS
        assert np.abs(frames(forward, "x_0, a test image")[k] - images[:, 0].numpy()).mean() < LOSS

    (restored,) = films.views["restore"]
    restoration = Restoration(run.restorer, run.sampler)
    (stages,) = restoration.batches(images, 8, seed=0)
    for name, stage in (("Algorithm 1", "algorithm_1"), ("Algorithm 2", "algorithm_2")):
        row = frames(restored, f"{name}: x_t")
        x_T, by_hand = (pixels.to_uint8(stages[s])[:, 0].numpy() for s in ("degraded", stage))
        assert np.abs(row[0] - x_T).mean() < LOSS
        assert np.abs(row[-1] - by_hand).mean() < LOSS
        guess = frames(restored, f"{name}: x_0_hat")[0]
        assert np.abs(guess - pixels.to_uint8(stages["direct"])[:, 0].numpy()).mean() < LOSS

    generated = films.views["generate"]
    assert [film.settings for film in generated] == [{"seed": "0"}, {"seed": "1"}, {"seed": "2"}]
    first, second = (frames(film, "x_t")[0] for film in generated[:2])
    assert np.abs(first - second).mean() > LOSS


def test_a_run_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no checkpoint"):
        films_of(tmp_path, "empty")


def test_a_class_conditional_run_has_a_film_for_each_guidance(mnist_root: Path) -> None:
    films = films_of(Path("zoo/best_conditional"), "digits", str(mnist_root))
    found = [(film.settings["seed"], film.settings["guidance"]) for film in films.views["generate"]]
    assert found == [(seed, scale) for seed in "012" for scale in "124"]
    assert films.classes == 10
    assert "guidance 4" in films.views["generate"][2].sampler

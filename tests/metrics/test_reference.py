"""References: their files and the interpolation of their floors."""

import math
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from thaw.metrics.encoders import load_encoder
from thaw.metrics.reference import Reference

SCORES = ("fid", "is_mean", "kid", "precision", "recall", "class_kl")


def reference(floor_sizes: list[int], floors: torch.Tensor) -> Reference:
    return Reference(
        encoder="some-cnn-v1",
        fingerprint="0123456789abcdef",
        num_images=50,
        scores=SCORES,
        mean=torch.randn(4, dtype=torch.float64),
        cov=torch.eye(4, dtype=torch.float64),
        class_counts=torch.tensor([20, 30]),
        features=torch.randn(9, 4).half(),
        kernel_mean=torch.tensor(1.5, dtype=torch.float64),
        radii=torch.rand(9, dtype=torch.float64),
        floor_sizes=torch.tensor(floor_sizes),
        floors=floors,
    )


def linear_in_inverse(n: float) -> torch.Tensor:
    return torch.tensor([2 + k / n for k in range(len(SCORES))], dtype=torch.float64)


@pytest.mark.parametrize("n", [10, 37, 100, 10_000])
def test_floor_is_exact_for_a_bias_of_one_over_n(n: int) -> None:
    sizes = [10, 100, 1000, 10_000]
    table = torch.stack([linear_in_inverse(size) for size in sizes])
    expected = dict(zip(SCORES, linear_in_inverse(n).tolist(), strict=True))
    assert reference(sizes, table).floor(n) == pytest.approx(expected, rel=1e-12)


def test_fewer_images_than_were_measured_have_no_floor() -> None:
    table = torch.tensor([[9.0] * 6, [1.0] * 6], dtype=torch.float64)
    assert all(math.isnan(floor) for floor in reference([10, 500], table).floor(9).values())
    # The packaged one knows what 3 images score, which is not what 10 do.
    path = load_encoder("mnist").reference_path
    assert path is not None
    packaged = Reference.load(path)
    assert packaged.floor(3)["fid"] == pytest.approx(71.694, abs=1e-3)
    assert packaged.floor(2)["fid"] > packaged.floor(3)["fid"] > 2 * packaged.floor(10)["fid"]


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    saved = reference([10, 20], torch.rand(2, 6, dtype=torch.float64))
    path = tmp_path / "folder" / "some_reference.safetensors"
    saved.save(path)
    loaded = Reference.load(path)
    assert (loaded.encoder, loaded.fingerprint) == ("some-cnn-v1", "0123456789abcdef")
    assert (loaded.num_images, loaded.scores) == (50, SCORES)
    tensors = [field.name for field in fields(Reference) if field.type is torch.Tensor]
    assert len(tensors) == 8
    for name in tensors:
        assert torch.equal(getattr(loaded, name), getattr(saved, name))
        assert getattr(loaded, name).dtype == getattr(saved, name).dtype
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_damaged_file_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "some_reference.safetensors"
    reference([10], torch.rand(1, 6, dtype=torch.float64)).save(path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"some_reference\.safetensors is damaged") as caught:
        Reference.load(path)
    assert "\n" not in str(caught.value)

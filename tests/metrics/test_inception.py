"""The Inception encoder: its errors, and its outputs on stand-in weights."""

import sys
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from hostile_files import MakesFolder
from torch import Tensor

from thaw.metrics.inception import FILE, InceptionEncoder


def test_offline_it_names_the_option_and_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise URLError("no route to\nhost")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"metrics\.weights_path") as caught:
        InceptionEncoder()
    for words in (FILE, "no route to host", "train_encoder.py", "metrics=none"):
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*.pth"))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.pth: metrics\.weights_path must name"):
        InceptionEncoder("gone.pth")


def test_without_torch_fidelity_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(ValueError, match=r"pip install -e '\.\[inception\]'"):
        InceptionEncoder("weights.pth")


@pytest.mark.parametrize("content", [b"", b"not weights", "a list", "code", "other weights"])
def test_a_wrong_file_is_one_clear_line(content: bytes | str, tmp_path: Path) -> None:
    path, touched = tmp_path / "wrong.pth", tmp_path / "touched"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        contents = {
            "a list": [1, 2],
            "code": {"weight": MakesFolder(touched)},
            "other weights": {"weight": torch.zeros(3)},
        }
        torch.save(contents[content], path)
    with pytest.raises(ValueError, match=r"wrong\.pth .*metrics\.weights_path") as caught:
        InceptionEncoder(str(path))
    assert "\n" not in str(caught.value)
    assert not touched.exists()


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the right shapes and random values, as the real file keeps them."""
    extractor = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    path = tmp_path_factory.mktemp("weights") / FILE
    with torch.random.fork_rng(devices=[]), pytest.MonkeyPatch.context() as patch:
        torch.manual_seed(0)
        patch.setattr(extractor, "load_state_dict_from_url", lambda *args, **kwargs: {})
        network = extractor.FeatureExtractorInceptionV3
        patch.setattr(network, "load_state_dict", lambda self, state: None)
        torch.save(network("stand-in", ["2048"]).state_dict(), path)
    return path


@pytest.mark.slow
def test_equals_torch_fidelity_on_the_same_weights(stand_in: Path, digits: Tensor) -> None:
    extractor = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    encoder = InceptionEncoder(str(stand_in))
    assert torch.equal(torch.get_rng_state(), before)
    assert encoder.name.startswith("inception-v3-")
    assert encoder.dataset is None
    grey = digits[:3]
    with torch.inference_mode():
        features, logits = encoder(grey)
        theirs = extractor.FeatureExtractorInceptionV3("x", ["2048", "logits_unbiased"], stand_in)
        expected = theirs(grey.repeat(1, 3, 1, 1))
    assert features.shape == (3, encoder.num_features)
    assert logits.shape == (3, encoder.num_classes)
    torch.testing.assert_close(features, expected[0])
    torch.testing.assert_close(logits, expected[1])

"""The standard Inception encoder of the FID literature, for data without an encoder of its own."""

import hashlib
import io
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from thaw import storage
from thaw.checks import checked
from thaw.metrics.encoders import Encoder
from thaw.provenance import install_command

log = logging.getLogger(__name__)

DIGEST = "6726825d"
FILE = f"weights-inception-2015-12-05-{DIGEST}.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"
NUM_FEATURES = 2048
NUM_CLASSES = 1008
ROWS = 50
OTHERWISE = (
    "or train an encoder of this data with `python train_encoder.py data=...` and use "
    "metrics=mnist metrics.encoder=FILE, or switch scores off with metrics=none"
)


class InceptionEncoder(Encoder):
    """The InceptionV3 of FID's definition, in torch-fidelity's port, which torchmetrics uses too.

    Features are the 2048 of its last pooling layer, logits its 1008 without the bias, as the
    original inception score takes them. Images of any size, resized to 299 x 299 as TensorFlow 1
    did; grey ones become three equal channels. Its classes are ImageNet's: a class balance or an
    inception score of digits says little here.
    """

    @checked
    def __init__(self, weights_path: str | None = None) -> None:
        """Load the weights from a file, or download them (91 MB, kept in torch's hub folder)."""
        extractor = _extractor()
        path, weights = _read(weights_path)
        digest = hashlib.sha256(weights).hexdigest()[: len(DIGEST)]
        super().__init__(f"inception-v3-{digest}", None, None, NUM_FEATURES, NUM_CLASSES)
        self.network = _load(extractor, weights, path)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [N, 1 or 3, H, W] -> features float32 [N, 2048], logits float32 [N, 1008]."""
        # A batch that suits the sampler would take gigabytes at 299 x 299.
        parts = [self.network(part.expand(-1, 3, -1, -1)) for part in torch.split(images, ROWS)]
        features, logits = (torch.cat(part) for part in zip(*parts, strict=True))
        return features, logits


def _extractor() -> Callable[..., nn.Module]:
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise ValueError(
            f"metrics=inception needs torch-fidelity: {install_command('inception')}, {OTHERWISE}"
        ) from error
    return cast(Callable[..., nn.Module], FeatureExtractorInceptionV3)


def _load(extractor: Callable[..., nn.Module], weights: bytes, path: Path) -> nn.Module:
    try:
        tensors = torch.load(io.BytesIO(weights), weights_only=True, map_location="cpu")
        # The extractor unpickles whatever it is given, so it is given what loaded as plain tensors.
        checked = io.BytesIO()
        torch.save(tensors, checked)
        checked.seek(0)
        with torch.random.fork_rng(devices=[]):
            return extractor("inception", ["2048", "logits_unbiased"], checked)
    except (pickle.UnpicklingError, RuntimeError, EOFError, TypeError) as error:
        raise ValueError(f"{path} is damaged or not {FILE}: set metrics.weights_path") from error


def _read(weights_path: str | None) -> tuple[Path, bytes]:
    path = _downloaded() if weights_path is None else Path(weights_path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}: metrics.weights_path must name a copy of {FILE}")
    return path, path.read_bytes()


def _downloaded() -> Path:
    path = Path(torch.hub.get_dir()) / "checkpoints" / FILE
    if path.is_file():
        return path
    storage.make_cache(path.parent, "TORCH_HOME or HOME")
    log.info("downloading %s to %s", URL, path)
    try:
        torch.hub.download_url_to_file(URL, str(path), hash_prefix=DIGEST, progress=False)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise FileNotFoundError(
            f"cannot download the Inception weights ({reason}): "
            f"set metrics.weights_path to a copy of {FILE}, {OTHERWISE}"
        ) from error
    return path

"""Encoders: networks that turn images into the features and logits that scores are made of."""

import hashlib
import json
import re
from importlib import resources
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from thaw import storage
from thaw.checks import checked

PACKAGED = ("mnist",)
FORMAT = "thaw-encoder"
SIZES = ("image_shape", "num_features", "num_classes")
POOLED_SIZE = 5
SMALLEST_SIDE = 9


class Encoder(nn.Module):
    """A frozen network, images -> (features, logits); what every score is computed with.

    name: encoder and version, shown beside every number computed with it.
    dataset: the data the encoder was trained on, or None where it fits any image.
    image_shape: (C, H, W) it takes, or None where it takes any.
    num_features, num_classes: widths D and K of its two outputs.
    reference_path: file of its reference (``thaw.metrics.reference``), or None.
    """

    reference_path: Path | None = None

    def __init__(
        self,
        name: str,
        dataset: str | None,
        image_shape: tuple[int, int, int] | None,
        num_features: int,
        num_classes: int,
    ) -> None:
        super().__init__()
        self.name = name
        self.dataset = dataset
        self.image_shape = image_shape
        self.num_features = num_features
        self.num_classes = num_classes

    def check_images(self, images: Tensor) -> None:
        """Refuse images, uint8 [N, C, H, W], of another shape than the encoder's."""
        shape = tuple(images.shape[1:])
        if self.image_shape is not None and shape != self.image_shape:
            raise ValueError(
                f"{self.name} takes images [N, {_dims(self.image_shape)}], not [N, {_dims(shape)}]"
            )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [N, C, H, W] -> features float32 [N, D], logits float32 [N, K]."""
        raise NotImplementedError

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features [N, D] and logits [N, K], float32 where the encoder is, without gradients."""
        self.check_images(images)
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
            features, logits = self(images.to(self.device))
        return features, logits

    @property
    def device(self) -> torch.device:
        """Where the weights are, and images are taken to."""
        return next(self.parameters()).device

    def fingerprint(self) -> str:
        """Sixteen hex digits of the weights' SHA-256: tells encoders of one name apart."""
        digest = hashlib.sha256()
        for key, value in sorted(self.state_dict().items()):
            digest.update(key.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


class ClassifierEncoder(Encoder):
    """A small convolutional classifier; its features are the last layer's input, after the ReLU."""

    def __init__(
        self,
        name: str,
        dataset: str,
        image_shape: tuple[int, int, int],
        num_features: int,
        num_classes: int,
    ) -> None:
        super().__init__(name, dataset, image_shape, num_features, num_classes)
        self.body = build_body(image_shape, num_features, batch_norm=False)
        self.head = nn.Linear(num_features, num_classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [N, C, H, W] -> features float32 [N, D] (>= 0), logits float32 [N, K]."""
        features: Tensor = self.body(scale(images))
        return features, self.head(features)

    def save(self, path: Path) -> None:
        """Write the weights as safetensors, with name, data set and sizes in the metadata."""
        sizes = {name: getattr(self, name) for name in SIZES}
        metadata = {
            "format": FORMAT,
            "name": self.name,
            "dataset": str(self.dataset),
            "sizes": json.dumps(sizes),
        }
        weights = {
            key: value.detach().cpu().contiguous() for key, value in self.state_dict().items()
        }
        storage.write_atomically(path, save(weights, metadata))


def scale(images: Tensor) -> Tensor:
    """uint8 0..255 (or floats in that range) -> float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def build_body(
    image_shape: tuple[int, int, int], num_features: int, batch_norm: bool
) -> nn.Sequential:
    """The layers from scaled image [N, C, H, W] to features [N, num_features].

    With ``batch_norm`` each convolution is followed by one, as it is trained; without, they are
    folded into the convolutions, as it is stored. The stride comes first and the channels are few:
    this network runs every epoch. Raises ValueError for images of less than 9 pixels a side.
    """
    if min(image_shape[1:]) < SMALLEST_SIDE:
        raise ValueError(
            f"an encoder needs at least {SMALLEST_SIDE} pixels a side, not {_dims(image_shape)}"
        )
    channels = image_shape[0]

    def block(layer: nn.Module, norm: nn.Module) -> list[nn.Module]:
        return [layer, norm, nn.ReLU()] if batch_norm else [layer, nn.ReLU()]

    return nn.Sequential(
        *block(nn.Conv2d(channels, 16, 5, stride=2, padding=2), nn.BatchNorm2d(16)),
        *block(nn.Conv2d(16, 48, 3, padding=1), nn.BatchNorm2d(48)),
        *block(nn.Conv2d(48, 64, 3, stride=2, padding=1), nn.BatchNorm2d(64)),
        *block(nn.Conv2d(64, 64, 3), nn.BatchNorm2d(64)),
        nn.AdaptiveAvgPool2d(POOLED_SIZE),
        nn.Flatten(),
        *block(nn.Linear(64 * POOLED_SIZE**2, num_features), nn.BatchNorm1d(num_features)),
    )


@checked
def load_encoder(name_or_path: str) -> ClassifierEncoder:
    """Load a packaged encoder by name (``mnist``) or another from its file. Never unpickles.

    Its reference statistics are read from the file beside it (``x.safetensors`` has
    ``x_reference.safetensors``). The name of one that is not packaged ends in eight digits of its
    fingerprint, since training it again gives another. ValueError or FileNotFoundError, in one
    line.
    """
    is_packaged = name_or_path in PACKAGED
    path = packaged_path(name_or_path) if is_packaged else Path(name_or_path).expanduser()
    if path.suffix != ".safetensors":
        raise ValueError(
            f"no encoder {name_or_path!r}: give one of {', '.join(PACKAGED)} or a .safetensors file"
        )
    if not path.is_file():
        raise FileNotFoundError(f"no encoder file {path}: train one with train_encoder.py")
    metadata, weights = read_safetensors(path, FORMAT, "encoder")
    encoder = _empty_encoder(path, metadata)
    try:
        encoder.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        name = encoder.name
        raise ValueError(f"{path} holds other weights than {name}: {_one_line(error)}") from error
    reference = reference_path(path)
    encoder.reference_path = reference if reference.is_file() else None
    if not is_packaged:
        encoder.name += f"-{encoder.fingerprint()[:8]}"
    # Half again as fast on a CPU, and the same numbers up to rounding.
    encoder.requires_grad_(False).to(memory_format=torch.channels_last)
    return encoder.eval()


def packaged_path(name: str) -> Path:
    """Where the package keeps the encoder of that name."""
    return Path(str(resources.files("thaw.metrics"))) / "weights" / f"{name}.safetensors"


def reference_path(encoder_path: Path) -> Path:
    """Where the reference statistics of the encoder in that file belong: beside it."""
    return encoder_path.with_name(f"{encoder_path.stem}_reference.safetensors")


def read_safetensors(
    path: Path, file_format: str, what: str
) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a safetensors file of that format; ValueError for any other."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{path} is damaged or not a safetensors file: {_one_line(error)}"
        ) from error
    if metadata.get("format") != file_format:
        raise ValueError(f"{path} is a safetensors file but not a thaw {what}")
    return metadata, tensors


def _empty_encoder(path: Path, metadata: dict[str, str]) -> ClassifierEncoder:
    try:
        sizes = json.loads(metadata["sizes"])
        # The name becomes part of a file's, where its reference is kept.
        if not re.fullmatch(r"\w[\w.=+-]{0,99}", metadata["name"]):
            raise ValueError(f"its name is {metadata['name'][:100]!r}")
        # On the meta device nothing is initialised, so nothing is drawn from the global generator.
        with torch.device("meta"):
            image_shape, *widths = (sizes[name] for name in SIZES)
            dataset = metadata["dataset"]
            return ClassifierEncoder(metadata["name"], dataset, tuple(image_shape), *widths)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path} is not a valid encoder: {_one_line(error)}") from error


def _dims(shape: tuple[int, ...]) -> str:
    return ", ".join(str(size) for size in shape)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())

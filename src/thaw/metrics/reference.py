"""The reference: statistics of real images under one encoder, with their floors, and its file."""

import math
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from thaw.metrics.encoders import read_safetensors

FORMAT = "thaw-reference"
SCORES = ("fid", "is_mean", "kid", "precision", "recall", "class_kl")


@dataclass(frozen=True)
class Reference:
    """Statistics of real images under one encoder with D features and K classes.

    encoder: the encoder's name and version.
    fingerprint: of the encoder's weights, as ``Encoder.fingerprint`` gives it.
    num_images: training images behind mean, cov and class_counts.
    mean [D], cov [D, D]: moments of their features, float64.
    class_counts [K]: how many of them the encoder puts in each class, int64.
    features [R, D]: features of a random part of them, float16, for KID, precision and recall.
    kernel_mean [], radii [R]: what KID, precision and recall need of those alone, float64.
    floor_sizes [S] ascending, floors [S, 6]: each of SCORES for real test images against all this,
    at each N.
    """

    encoder: str
    fingerprint: str
    num_images: int
    mean: Tensor
    cov: Tensor
    class_counts: Tensor
    features: Tensor
    kernel_mean: Tensor
    radii: Tensor
    floor_sizes: Tensor
    floors: Tensor

    def floor(self, n: int) -> dict[str, float]:
        """What N = n real test images score: the best that N generated images can be expected to.

        Linear in 1 / N between the sizes measured, as the bias of these scores is to first order;
        beyond the largest size, what was measured there. Of fewer images than were ever measured
        it is NaN: there FID is far from linear.
        """
        if n < self.floor_sizes[0]:
            return dict.fromkeys(SCORES, math.nan)
        inverse = 1 / self.floor_sizes.double()
        x = torch.tensor(1 / n, dtype=torch.float64).clamp(inverse[-1], inverse[0])
        right = int((inverse >= x).sum().clamp(1, len(inverse) - 1)) if len(inverse) > 1 else 0
        left = max(right - 1, 0)
        width = inverse[left] - inverse[right]
        weight = (inverse[left] - x) / width if width > 0 else 0.0
        row = torch.lerp(self.floors[left], self.floors[right], weight)
        return dict(zip(SCORES, row.tolist(), strict=True))

    def save(self, path: Path) -> None:
        """Write it as safetensors, in one step: nobody ever reads half a file."""
        metadata = {
            "format": FORMAT,
            "encoder": self.encoder,
            "fingerprint": self.fingerprint,
            "num_images": str(self.num_images),
        }
        tensors = {name: getattr(self, name).contiguous() for name in _TENSORS}
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_bytes(save(tensors, metadata))
        unfinished.replace(path)

    @staticmethod
    def load(path: Path) -> "Reference":
        """Read it back.

        Raises:
            ValueError: the file is damaged or holds something else; one line.
        """
        metadata, tensors = read_safetensors(path, FORMAT, "reference")
        missing = sorted({*_TENSORS, *_METADATA} - set(tensors) - set(metadata))
        if missing:
            raise ValueError(f"{path} lacks {', '.join(missing)}: delete it and it is made again")
        return Reference(
            encoder=metadata["encoder"],
            fingerprint=metadata["fingerprint"],
            num_images=int(metadata["num_images"]),
            **tensors,
        )


_METADATA = ("encoder", "fingerprint", "num_images")
_TENSORS = tuple(field.name for field in fields(Reference) if field.type is Tensor)

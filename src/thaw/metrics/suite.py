"""The suite of scores: uint8 images in, every score and its real-vs-real floor out."""

import torch
from torch import Tensor, nn

from thaw.checks import shown
from thaw.metrics.encoders import Encoder
from thaw.metrics.fitting import cached_reference
from thaw.metrics.reference import Reference
from thaw.metrics.scores import Scores

WAYS_OUT = (
    "use metrics=inception, train an encoder with `python train_encoder.py data={data}`, "
    "or switch scores off with metrics=none"
)


class ScoreSuite(nn.Module):
    """One encoder, its reference, and every score of the images given to ``update``.

    name: the encoder and its version, to be logged beside the scores.
    dataset: the data that the encoder was trained on, or None where it fits any.
    Draws nothing from, and leaves alone, the global random number generator; never records
    gradients.
    """

    def __init__(self, encoder: Encoder) -> None:
        """Raises ValueError where the reference beside the encoder is another encoder's."""
        super().__init__()
        if not isinstance(encoder, Encoder):
            raise ValueError(f"metrics.suite.encoder must be an encoder, got {shown(encoder)}")
        self.encoder = encoder
        self.scores: Scores | None = None
        self.reference: Reference | None = None
        if encoder.reference_path is not None:
            self.use_reference(Reference.load(encoder.reference_path))

    @property
    def name(self) -> str:
        """Encoder and version, such as ``mnist-cnn-v1``."""
        return self.encoder.name

    @property
    def dataset(self) -> str | None:
        """Name of the data that the encoder was trained on, or None where it fits any."""
        return self.encoder.dataset

    def check(self, data_name: str, image_shape: tuple[int, int, int]) -> None:
        """Refuse data that the encoder was not made for; ``mnist_5k`` is data of ``mnist``.

        Raises:
            ValueError: what does not fit and the ways out, in one line.
        """
        ways_out = WAYS_OUT.format(data=data_name)
        known = (
            self.dataset is None
            or data_name == self.dataset
            or data_name.startswith(f"{self.dataset}_")
        )
        if not known:
            raise ValueError(
                f"encoder {self.name} scores {self.dataset}, not {data_name}: {ways_out}"
            )
        try:
            self.encoder.check_images(torch.empty(0, *image_shape, dtype=torch.uint8))
        except ValueError as error:
            raise ValueError(f"{error}: {ways_out}") from error

    def fit_reference(self, train_images: Tensor, test_images: Tensor) -> None:
        """Take the reference from real images, uint8 [N, C, H, W]; floors are the test images'.

        Needed where ``reference`` is None. One pass of the encoder, the first time; cached on disk.
        """
        self.use_reference(cached_reference(self.encoder, train_images, test_images))

    def use_reference(self, reference: Reference) -> None:
        """Compare with this reference from now on.

        Raises:
            ValueError: it was made with another encoder, or with other weights of the same name.
        """
        if reference.fingerprint != self.encoder.fingerprint():
            raise ValueError(
                f"a reference of {reference.encoder} (weights {reference.fingerprint}) "
                f"cannot serve {self.name} (weights {self.encoder.fingerprint()})"
            )
        self.reference = reference
        self.scores = Scores(reference)

    def reset(self) -> None:
        """Forget all images."""
        self._ready()[0].reset()

    def update(self, images: Tensor) -> None:
        """Add generated images, uint8 [N, C, H, W] in 0..255, on any device.

        Raises:
            ValueError: they do not fit the encoder.
        """
        scores, _ = self._ready()
        scores.update(*self.encode(images))

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features [N, D] and logits [N, K] of images, uint8 [N, C, H, W] on any device.

        Raises:
            ValueError: they do not fit the encoder.
        """
        self.encoder.check_images(images)
        device = self.encoder.device
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            features, logits = self.encoder(images.to(device))
        return features, logits

    def compute(self) -> dict[str, float]:
        """Scores ``fid is_mean is_std kid precision recall class_kl num_classes n``, and floors.

        Floors: ``fid_floor is_floor kid_floor precision_floor recall_floor class_kl_floor``. Over
        all processes; call it on every rank.

        Raises:
            ValueError: fewer than two images.
        """
        scores, reference = self._ready()
        with torch.inference_mode():
            values = scores.compute()
        floors = reference.floor(int(values["n"]))
        return values | {
            f"{name.removesuffix('_mean')}_floor": value for name, value in floors.items()
        }

    def class_histogram(self) -> list[int]:
        """Images predicted to be of each class, over all processes; call it on every rank."""
        scores, _ = self._ready()
        histogram: list[int] = scores.class_balance.compute()["class_counts"].tolist()
        return histogram

    def _ready(self) -> tuple[Scores, Reference]:
        if self.scores is None or self.reference is None:
            raise ValueError(f"encoder {self.name} has no reference yet: call fit_reference first")
        return self.scores, self.reference

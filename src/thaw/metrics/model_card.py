"""The model card of an encoder: what it is, how it was trained, what it was measured to do."""

from typing import NamedTuple

from thaw.metrics.encoders import ClassifierEncoder
from thaw.metrics.reference import Reference

CARD = """# {name}

A small convolutional classifier of {dataset}. FID, KID, precision and recall of generated images
are computed on its features, the inception score and the class balance on its logits.

| | |
| --- | --- |
| takes | uint8 images [N, {channels}, {height}, {width}] in 0..255; scaling to [-1, 1] is inside |
| gives | features [N, {num_features}] (after the ReLU, so >= 0) and logits [N, {num_classes}] |
| parameters | {num_parameters:,} (float32, batch normalisation folded in) |
| trained on | {num_images:,} training images, {epochs} epochs (fixed beforehand), seed {seed} |
| recipe | AdamW, one-cycle learning rate, dropout, random rotations, shifts and scalings |
| weights | SHA-256 of them begins {fingerprint} |
| accuracy | {test_accuracy:.2%} on the test images, {train_accuracy:.2%} on the training images |
| trained by | `python train_encoder.py data={dataset}` |

Nothing was chosen by the test images: they give only the accuracy above and the floors below.

## Reference and floors

Beside the weights lies the reference: moments of the features of the {num_images:,} training
images, how many of them the encoder puts in each class, and the features of {num_kept:,} random
ones for KID, precision and recall.

A floor is what N real test images score against it, the best that N generated images can be
expected to reach. Mean over random draws without replacement; all {num_test:,} are a single draw.

{floors}

## Limits

The classifier has only seen real {dataset}. Of anything else it still names a class, often with
confidence, so a high inception score alone says little. Scores of different encoders, or of
different versions, cannot be compared.
"""


class Training(NamedTuple):
    """How an encoder was trained, and the accuracies in 0..1 that were measured afterwards."""

    num_images: int
    seed: int
    epochs: int
    train_accuracy: float
    test_accuracy: float


def model_card(encoder: ClassifierEncoder, training: Training, reference: Reference) -> str:
    """The card in Markdown."""
    assert encoder.image_shape is not None
    channels, height, width = encoder.image_shape
    return CARD.format(
        name=encoder.name,
        dataset=encoder.dataset,
        channels=channels,
        height=height,
        width=width,
        num_features=encoder.num_features,
        num_classes=encoder.num_classes,
        num_parameters=sum(parameter.numel() for parameter in encoder.parameters()),
        fingerprint=reference.fingerprint,
        num_kept=len(reference.features),
        num_test=int(reference.floor_sizes[-1]),
        floors=floors_table(reference),
        **training._asdict(),
    )


def floors_table(reference: Reference) -> str:
    """The floors as a Markdown table, a row for each N."""
    head = [
        "| " + " | ".join(("N", *reference.scores)) + " |",
        "| ---: " * (len(reference.scores) + 1) + "|",
    ]
    rows = [
        f"| {size:,} | " + " | ".join(f"{value:.4g}" for value in values) + " |"
        for size, values in zip(
            reference.floor_sizes.tolist(), reference.floors.tolist(), strict=True
        )
    ]
    return "\n".join(head + rows)

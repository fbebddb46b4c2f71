"""Fitting of a reference: real images encoded once, their statistics, the real-vs-real floors."""

import hashlib
import logging
from dataclasses import replace

import torch
from torch import Tensor

from thaw import storage
from thaw.metrics import table
from thaw.metrics.encoders import Encoder
from thaw.metrics.frechet import moments
from thaw.metrics.gathering import collect
from thaw.metrics.kid import within_mean
from thaw.metrics.precision_recall import neighbour_radii
from thaw.metrics.reference import Reference
from thaw.progress import progress
from thaw.seeding import generator

log = logging.getLogger(__name__)

NUM_FEATURES_KEPT = 5000
FLOOR_SIZES = (2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
NUM_DRAWS = 10


def encode(encoder: Encoder, images: Tensor, batch_size: int = 500) -> tuple[Tensor, Tensor]:
    """Features [N, D] and logits [N, K], float32 on the CPU, of uint8 images [N, C, H, W].

    Raises ValueError where the images do not fit the encoder.
    """
    parts: list[tuple[Tensor, Tensor]] = []
    batches = torch.split(images, batch_size)
    what = f"encoding {len(images):,} images with {encoder.name}"
    with progress(what, len(batches), lambda: len(parts)):
        for batch in batches:
            features, logits = encoder.encode(batch)
            parts.append((features.cpu(), logits.cpu()))
    features, logits = (torch.cat(part) for part in zip(*parts, strict=True))
    return features, logits


def fit_reference(
    encoder: Encoder, train_images: Tensor, test_images: Tensor, num_draws: int = NUM_DRAWS
) -> Reference:
    """Statistics of training images, uint8 [N, C, H, W], and floors of test images against them.

    A floor is the mean over ``num_draws`` random draws of its number of test images.
    """
    log.info(
        "encoding %d real images with %s, once", len(train_images) + len(test_images), encoder.name
    )
    features, logits = encode(encoder, train_images)
    mean, cov = moments(features)
    kept = torch.randperm(len(features), generator=generator(0, "reference"))[:NUM_FEATURES_KEPT]
    class_counts = logits.argmax(dim=1).bincount(minlength=encoder.num_classes)
    features_kept = features[kept].half()
    real = features_kept.double()
    reference = Reference(
        encoder=encoder.name,
        fingerprint=encoder.fingerprint(),
        num_images=len(features),
        scores=(),
        mean=mean,
        cov=cov,
        class_counts=class_counts,
        features=features_kept,
        kernel_mean=within_mean(real),
        radii=neighbour_radii(real),
        floor_sizes=torch.empty(0, dtype=torch.long),
        floors=torch.empty(0),
    )
    return measure_floors(reference, *encode(encoder, test_images), num_draws)


def measure_floors(
    reference: Reference, features: Tensor, logits: Tensor, num_draws: int
) -> Reference:
    """The reference with the mean scores of draws of 2, 3, ... up to all of these test images.

    A draw is without replacement, so all the images make only one.
    """
    scores = collect(table.GENERATED, reference)
    for metric in scores.values():
        metric.sync_on_compute = False  # every process measures them
    names = tuple(score.name for score in table.GENERATED if score.has_floor)
    num_images = len(features)
    sizes = [*(size for size in FLOOR_SIZES if size < num_images), num_images]
    rows: list[Tensor] = []
    with progress("floors: real images against real ones", len(sizes), lambda: len(rows)):
        for size in sizes:
            values: list[list[float]] = []
            for draw in range(1 if size == num_images else num_draws):
                chosen = torch.randperm(num_images, generator=generator(draw, "floor", size))[:size]
                scores.reset()
                scores.update(features=features[chosen], logits=logits[chosen])
                computed = scores.compute()
                values.append([float(computed[name]) for name in names])
            rows.append(torch.tensor(values, dtype=torch.float64).mean(dim=0))
    sizes_measured, floors = torch.tensor(sizes), torch.stack(rows)
    return replace(reference, scores=names, floor_sizes=sizes_measured, floors=floors)


def cached_reference(encoder: Encoder, train_images: Tensor, test_images: Tensor) -> Reference:
    """``fit_reference``, or what it gave before for the same weights, images and scores.

    Kept under ``$XDG_CACHE_HOME/thaw`` (``~/.cache/thaw`` where that is not set).
    """
    # A new score needs floors that an earlier reference has not.
    names = ",".join(score.name for score in table.GENERATED)
    digest = hashlib.sha256(f"{encoder.fingerprint()} {names}".encode())
    for images in (train_images, test_images):
        digest.update(str(list(images.shape)).encode())
        digest.update(images.cpu().contiguous().numpy().data)
    name = f"{encoder.name}-{digest.hexdigest()[:16]}.safetensors"
    path = storage.cache_folder("references") / name
    if path.is_file():
        return Reference.load(path)
    reference = fit_reference(encoder, train_images, test_images)
    try:
        storage.make_cache(path.parent, "XDG_CACHE_HOME or HOME")
        reference.save(path)
    except OSError as error:
        log.warning("the reference is not kept for other runs: %s", error)
    return reference

"""Training of a classifier encoder on any labelled images, and the files that it leaves."""

import logging
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from thaw import storage
from thaw.metrics.encoders import ClassifierEncoder, build_body, reference_path, scale
from thaw.metrics.fitting import encode, fit_reference
from thaw.metrics.model_card import Training, model_card
from thaw.progress import progress

log = logging.getLogger(__name__)

VERSION = 1
EPOCHS = 16
NUM_FLOOR_DRAWS = 50
NUM_FEATURES = 64
BATCH_SIZE = 128
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.05
DROPOUT = 0.25
MAX_ROTATION = 10.0
MAX_SHIFT = 2.0
MAX_SCALING = 0.1


class EncoderFiles(NamedTuple):
    """What ``train_and_write`` wrote, and the accuracy on the test images in 0..1."""

    encoder: Path
    reference: Path
    card: Path
    test_accuracy: float


def train_and_write(
    train_images: Tensor,
    train_labels: Tensor,
    test_images: Tensor,
    test_labels: Tensor,
    num_classes: int,
    name: str,
    out_dir: Path,
    seed: int = 0,
    epochs: int = EPOCHS,
    device: torch.device | str = "cpu",
    num_floor_draws: int = NUM_FLOOR_DRAWS,
) -> EncoderFiles:
    """Train an encoder of the data called ``name`` and write its weights, reference and model card.

    Images are uint8 [N, C, H, W], labels int64 [N] in 0..num_classes - 1. Writes
    ``<name>.safetensors``, which ``load_encoder`` reads, ``<name>_reference.safetensors`` and
    ``<name>.md`` into the folder ``out_dir``.
    """
    encoder = train_encoder(train_images, train_labels, num_classes, name, seed, epochs, device)
    train_accuracy = measure_accuracy(encoder, train_images, train_labels)
    test_accuracy = measure_accuracy(encoder, test_images, test_labels)
    training = Training(len(train_images), seed, epochs, train_accuracy, test_accuracy)
    reference = fit_reference(encoder, train_images, test_images, num_floor_draws)
    path = out_dir / f"{name}.safetensors"
    card = path.with_suffix(".md")
    encoder.save(path)
    reference.save(reference_path(path))
    storage.write_atomically(card, model_card(encoder, training, reference))
    return EncoderFiles(path, reference_path(path), card, test_accuracy)


def train_encoder(
    images: Tensor,
    labels: Tensor,
    num_classes: int,
    dataset: str,
    seed: int,
    epochs: int,
    device: torch.device | str = "cpu",
) -> ClassifierEncoder:
    """Train on uint8 [N, C, H, W] images and int64 [N] labels for a fixed number of epochs.

    AdamW, one-cycle learning rate, random small rotations, shifts and scalings; the last weights
    are the result, so nothing is chosen by any evaluation. The global random number generator is
    left as it was.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        image_shape = (images.shape[1], images.shape[2], images.shape[3])
        body = build_body(image_shape, NUM_FEATURES, batch_norm=True)
        head = nn.Linear(NUM_FEATURES, num_classes)
        network = nn.Sequential(body, nn.Dropout(DROPOUT), head)
        count = sum(parameter.numel() for parameter in network.parameters())
        log.info("encoder of %s parameters, %d epochs on %s", f"{count:,}", epochs, device)
        network.to(device).to(memory_format=torch.channels_last)
        _fit(network, images.to(device), labels.to(device), epochs)
        encoder = ClassifierEncoder(
            f"{dataset}-cnn-v{VERSION}", dataset, image_shape, NUM_FEATURES, num_classes
        )
    encoder.body = fold_batch_norm(body.eval())
    encoder.head = head
    encoder.to(device).to(memory_format=torch.contiguous_format)
    return encoder.eval().requires_grad_(False)


def _fit(network: nn.Module, images: Tensor, labels: Tensor, epochs: int) -> None:
    batch_size = min(BATCH_SIZE, len(images))
    steps = len(images) // batch_size
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, epochs * steps)
    network.train()
    done = 0
    with progress("training the encoder", epochs * steps, lambda: done):
        for epoch in range(epochs):
            total = torch.zeros((), device=images.device)
            order = torch.randperm(len(images), device=images.device)
            for batch in torch.split(order, batch_size)[:steps]:
                x = scale(augment(images[batch])).contiguous(memory_format=torch.channels_last)
                loss = cross_entropy(network(x), labels[batch])
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                schedule.step()
                total += loss.detach()
                done += 1
            log.info("encoder epoch %d/%d: loss %.4f", epoch + 1, epochs, total.item() / steps)


def augment(images: Tensor) -> Tensor:
    """Rotate (at most 10 degrees), scale (10 %) and shift (2 pixels) each image; zeros come in.

    uint8 [N, C, H, W] -> float32 [N, C, H, W] in 0..255. Draws from the global generator.
    """
    angle, log_scale, dx, dy = torch.rand(4, len(images), device=images.device) * 2 - 1
    angle = torch.deg2rad(angle * MAX_ROTATION)
    zoom = torch.exp(log_scale * MAX_SCALING)
    cos, sin = zoom * torch.cos(angle), zoom * torch.sin(angle)
    # affine_grid measures in half-images, so a pixel is 2 / side.
    dx, dy = dx * MAX_SHIFT * 2 / images.shape[3], dy * MAX_SHIFT * 2 / images.shape[2]
    matrix = torch.stack([cos, -sin, dx, sin, cos, dy], dim=1).view(-1, 2, 3)
    grid = affine_grid(matrix, list(images.shape), align_corners=False)
    return grid_sample(images.float(), grid, align_corners=False)


def fold_batch_norm(body: nn.Sequential) -> nn.Sequential:
    """The same function with every batch normalisation folded into the layer before it."""
    layers: list[nn.Module] = []
    for layer in body:
        before = layers[-1] if layers else layer
        if isinstance(layer, nn.BatchNorm2d) and isinstance(before, nn.Conv2d):
            layers[-1] = fuse_conv_bn_eval(before, layer)
        elif isinstance(layer, nn.BatchNorm1d) and isinstance(before, nn.Linear):
            layers[-1] = fuse_linear_bn_eval(before, layer)
        else:
            layers.append(layer)
    return nn.Sequential(*layers)


def measure_accuracy(encoder: ClassifierEncoder, images: Tensor, labels: Tensor) -> float:
    """Share of uint8 [N, C, H, W] images whose predicted class is their label [N], in 0..1."""
    _, logits = encode(encoder, images)
    return (logits.argmax(1) == labels).double().mean().item()

"""Images and runs as a notebook shows them."""

import base64
import html
import io
from collections.abc import Mapping
from typing import Any

from PIL import Image
from torch import Tensor

from thaw.metrics import table
from thaw.metrics.table import Score
from thaw.reporting.images import grid as tiled
from thaw.reporting.images import to_pil
from thaw.reporting.numbers import number, plus_minus


def grid(images: Tensor, columns: int | None = None) -> Image.Image:
    """Images side by side as one picture, which a notebook shows.

    Args:
        images: uint8 ``[N, C, H, W]``, with 1 or 3 channels.
        columns: images in a row; None makes a square.

    Raises:
        ValueError: the images are of another type or shape.
    """
    if not isinstance(images, Tensor) or str(images.dtype) != "torch.uint8" or images.ndim != 4:
        raise ValueError(f"images must be uint8 [N, C, H, W], got {in_words(images)}")
    return to_pil(tiled(images, columns))


def in_words(images: object) -> str:
    """The type and shape of what should be images: ``float32 [16, 1, 28, 28]``."""
    if not isinstance(images, Tensor):
        return type(images).__name__
    return f"{str(images.dtype).removeprefix('torch.')} {list(images.shape)}"


def as_html(image: Image.Image) -> str:
    """An ``<img>`` that holds its picture."""
    contents = io.BytesIO()
    image.save(contents, "PNG")
    text = base64.b64encode(contents.getvalue()).decode()
    return f'<img src="data:image/png;base64,{text}" width="{image.width}">'


def scores_table(values: Mapping[str, Any], prefix: str = "") -> str:
    """A table of the scores of generated images, each with its floor; empty without scores."""
    due = [score for score in table.GENERATED if values.get(f"{prefix}{score.name}") is not None]
    if not due:
        return ""
    head = "<tr><th>score</th><th>value</th><th>floor</th></tr>"
    body = "".join(_row(score, values, prefix) for score in due)
    about = [f"N {values.get(f'{prefix}n')}"]
    about += [str(values.get(f"{prefix}{key}")) for key in ("encoder", "sampler", "images")]
    return f"<table>{head}{body}</table><p>{html.escape(', '.join(about))}</p>"


def _row(score: Score, values: Mapping[str, Any], prefix: str) -> str:
    value = values[f"{prefix}{score.name}"]
    error = values.get(f"{prefix}{score.std}") if score.std else None
    plain = number(value, score.format)
    text = plain if error is None else plus_minus(value, error, score.format)
    floor = values.get(f"{prefix}{score.floor}") if score.floor else None
    shown = "" if floor is None else number(floor, score.format)
    return f"<tr><td>{html.escape(score.label)}</td><td>{text}</td><td>{shown}</td></tr>"

"""Images and runs as a notebook shows them."""

import base64
import html
import io
import math
from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from thaw.metrics import table
from thaw.metrics.table import Score
from thaw.reporting.images import grid as tiled
from thaw.reporting.images import to_pil
from thaw.reporting.numbers import number, plus_minus

FONT_SIZE = 16


def grid(images: Tensor | Mapping[str, Tensor], columns: int | None = None) -> Image.Image:
    """Images side by side as one picture, which a notebook shows.

        thaw.grid(run.sample(16))
        thaw.grid(run.restore(images, t=14))

    Args:
        images: uint8 ``[N, C, H, W]``, with 1 or 3 channels; or several such by name, each a row
            with its name beside it.
        columns: images in a row; None makes a square.

    Raises:
        ValueError: the images are of another type or shape.
    """
    if isinstance(images, Mapping):
        return _rows(images)
    if not isinstance(images, Tensor) or str(images.dtype) != "torch.uint8" or images.ndim != 4:
        raise ValueError(f"images must be uint8 [N, C, H, W], got {in_words(images)}")
    return to_pil(tiled(images, columns))


def _rows(named: Mapping[str, Tensor]) -> Image.Image:
    """Each row a picture of its own, under the last, to the right of the longest name."""
    pictures = [grid(images, len(images)) for images in named.values()]
    font = ImageFont.load_default(FONT_SIZE)
    margin = math.ceil(max(font.getlength(name) for name in named)) + FONT_SIZE
    width = margin + max(picture.width for picture in pictures)
    whole = Image.new("RGB", (width, sum(picture.height for picture in pictures)), "white")
    draw, top = ImageDraw.Draw(whole), 0
    for name, picture in zip(named, pictures, strict=True):
        middle = (margin - FONT_SIZE // 2, top + picture.height // 2)
        draw.text(middle, name, "black", font, anchor="rm")
        whole.paste(picture, (margin, top))
        top += picture.height
    return whole


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

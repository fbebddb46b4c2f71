"""Pictures between the page and the model: files and drawings in, HTML out."""

import base64
import binascii
import html
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from thaw.data.pixel_cache import formats, read_image
from thaw.reporting.images import grid, to_pil

START = "data:image/png;base64,"
ORIGINAL = "original"


def uploaded(path: Path, image_shape: tuple[int, int, int]) -> tuple[Tensor, str]:
    """A file as an image of the model's, uint8 ``[1, C, H, W]``, and what was changed, in words.

    Raises:
        ValueError: it is not an image that can be read; one line that says why.
    """
    channels, height, width = image_shape
    try:
        with Image.open(path, formats=formats()) as stored:
            size, mode = stored.size, stored.mode
            num_frames = getattr(stored, "n_frames", 1)
            is_clear = "A" in stored.getbands() or "transparency" in stored.info
        if mode[0] in "IF":
            raise ValueError(f"{path.name} has more than 8 bits a channel: save it with 8")
        pixels = read_image(path, image_shape)
    except UnidentifiedImageError:
        raise ValueError(
            f"{path.name} is not an image, or of a kind that is not known here: take a PNG or JPEG"
        ) from None
    # Pillow's decoders raise nearly anything on a damaged file.
    except Exception as error:
        if error.__cause__ is None and str(error).startswith(path.name):
            raise
        why = " ".join(str(error.__cause__ or error).split())
        raise ValueError(f"{path.name} cannot be read: {why}") from error
    done = []
    if size != (width, height):
        cut = "" if size[0] * height == size[1] * width else "cut to the middle and "
        done.append(f"{cut}resized from {size[0]} x {size[1]} to {width} x {height} pixels")
    if num_frames > 1:
        done.append(f"the first of {num_frames} frames")
    if is_clear:
        done.append("on white where it is transparent")
    if channels == 1 and mode not in ("1", "L", "LA"):
        done.append("its colours made grey")
    image = torch.from_numpy(pixels.copy()).unsqueeze(0)
    return image, ", ".join([path.name, *done])


def drawn(url: str, image_shape: tuple[int, int, int]) -> Tensor:
    """A canvas's ``toDataURL()`` of the model's size as uint8 ``[1, C, H, W]``: black if empty."""
    channels, height, width = image_shape
    if not url:
        return torch.zeros(1, *image_shape, dtype=torch.uint8)
    try:
        contents = base64.b64decode(url.removeprefix(START), validate=True)
        with Image.open(io.BytesIO(contents), formats=("PNG",)) as stored:
            if stored.size != (width, height):
                raise ValueError(f"{stored.size} pixels")
            plain = np.array(stored.convert("L" if channels == 1 else "RGB"))
    except (binascii.Error, OSError, ValueError) as error:
        raise ValueError(f"the drawing is no PNG of {width} x {height} pixels") from error
    return torch.from_numpy(plain.reshape(1, height, width, channels)).permute(0, 3, 1, 2)


def as_url(picture: Image.Image) -> str:
    """A picture within a page, as a PNG."""
    contents = io.BytesIO()
    picture.save(contents, "PNG")
    return START + base64.b64encode(contents.getvalue()).decode()


def figures(pictures: Mapping[str, Tensor]) -> str:
    """HTML of pictures side by side with their names, uint8 ``[N, C, H, W]`` each a grid of N.

    Where there is an original, each one's distance from it is in its caption.
    """
    original = pictures.get(ORIGINAL)
    shown = (_figure(name, images, original) for name, images in pictures.items())
    return f'<div class="figures">{"".join(shown)}</div>'


def _figure(name: str, images: Tensor, original: Tensor | None) -> str:
    single = len(images) == 1
    url = as_url(to_pil(images[0] if single else grid(images)))
    words = html.escape(name)
    distance = ""
    if original is not None and name != ORIGINAL:
        rmse = (images.float() - original.float()).square().mean().sqrt().item() / 255
        distance = f"<small>RMSE {rmse:.3f}</small>"
    kind = "single" if single else "grid"
    return (
        f'<figure class="{kind}"><img src="{url}" alt="{words}">'
        f"<figcaption>{words}{distance}</figcaption></figure>"
    )


def progress(words: str, share: float) -> str:
    """HTML of how far the work is; without a bar where it is done or has not begun."""
    bar = f'<progress max="1" value="{share:.3f}"></progress>' if 0 <= share < 1 else ""
    return f'<p class="state" role="status">{html.escape(words)}</p>{bar}'

"""Files and drawings for the page: what is changed is said, and so is what is wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from thaw.demo.pictures import as_url, drawn, figures, uploaded

GREY, COLOUR = (1, 28, 28), (3, 32, 32)


def test_an_image_of_the_models_size_is_taken_as_it_is(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image, words = uploaded(tmp_path / "a.png", GREY)
    assert words == "a.png"
    assert torch.equal(image, torch.from_numpy(pixels)[None, None])


def test_what_is_changed_is_said(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    image, words = uploaded(tmp_path / "a.gif", COLOUR)
    assert words == "a.gif, resized from 64 x 64 to 32 x 32 pixels, the first of 2 frames"
    assert image[0, :, 5, 5].tolist() == [255, 0, 0]
    Image.new("RGBA", (90, 30), (0, 0, 0, 0)).save(tmp_path / "b.png")
    image, words = uploaded(tmp_path / "b.png", GREY)
    assert "cut to the middle and resized from 90 x 30 to 28 x 28 pixels" in words
    assert "on white where it is transparent, its colours made grey" in words
    assert image.min() == 255


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("seven")
    with pytest.raises(ValueError, match=r"^notes.txt is not an image, .*: take a PNG or JPEG$"):
        uploaded(tmp_path / "notes.txt", GREY)
    Image.fromarray(np.zeros((28, 28), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match=r"^deep.png has more than 8 bits a channel: save it"):
        uploaded(tmp_path / "deep.png", GREY)
    Image.effect_noise((64, 64), 90).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:900])
    with pytest.raises(ValueError, match=r"^cut.png cannot be read: ") as caught:
        uploaded(tmp_path / "cut.png", GREY)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("shape", [GREY, COLOUR])
def test_a_drawing_keeps_its_pixels(shape: tuple[int, int, int]) -> None:
    image = torch.randint(256, (1, *shape), dtype=torch.uint8)
    picture = Image.fromarray(image[0].permute(1, 2, 0).expand(-1, -1, 3).numpy())
    assert torch.equal(drawn(as_url(picture), shape), image)
    assert not drawn("", shape).any()
    for wrong in ("nonsense", "data:image/png;base64,AAAA", as_url(Image.new("L", (2000, 2000)))):
        with pytest.raises(ValueError, match="the drawing is no PNG of"):
            drawn(wrong, shape)


def test_names_are_text_on_the_page() -> None:
    black = torch.zeros(1, *GREY, dtype=torch.uint8)
    text = figures({"original": black, "<b>": black + 255})
    assert "<b>" not in text
    assert "&lt;b&gt;<small>RMSE 1.000</small>" in text

"""``model=diffusers_unet``: diffusers' own U-Net, with thaw's steps and labels."""

import sys

import pytest
import torch

from thaw.networks.diffusers_unet import DiffusersUNet

SMALL = {"width": 8, "multipliers": [1, 2]}


def network(**options: object) -> DiffusersUNet:
    return DiffusersUNet((1, 28, 28), 20, **(SMALL | options)).eval()  # type: ignore[arg-type]


def test_it_is_unet2dmodel_with_steps_from_0() -> None:
    model, x_t, t = network(), torch.randn(3, 1, 28, 28), torch.tensor([1, 7, 20])
    assert type(model.unet).__name__ == "UNet2DModel"
    with torch.no_grad():
        torch.testing.assert_close(model(x_t, t), model.unet(x_t, t - 1).sample, rtol=0, atol=0)
        assert not torch.equal(model(x_t, t), model(x_t, t.flip(0)))


def test_no_label_is_a_class_of_its_own() -> None:
    model, x_t, t = network(num_classes=3), torch.randn(2, 1, 28, 28), torch.tensor([1, 2])
    with torch.no_grad():
        none = model(x_t, t)
        assert torch.equal(none, model(x_t, t, torch.tensor([-1, -1])))
        assert torch.equal(none, model.unet(x_t, t - 1, torch.tensor([3, 3])).sample)
        assert torch.equal(
            model(x_t, t, torch.tensor([2, 0])), model.unet(x_t, t - 1, torch.tensor([2, 0])).sample
        )
        assert not torch.equal(none, model(x_t, t, torch.tensor([2, 0])))


def test_attention_stands_where_it_is_asked_for() -> None:
    kinds = [type(block).__name__ for block in network(attention_size=14).unet.down_blocks]
    assert kinds == ["DownBlock2D", "AttnDownBlock2D"]
    kinds = [type(block).__name__ for block in network(attention_size=14).unet.up_blocks]
    assert kinds == ["AttnUpBlock2D", "UpBlock2D"]


def test_the_mask_is_a_channel_more() -> None:
    model = network(extra_channels=1)
    assert model(torch.randn(2, 2, 28, 28), torch.tensor([1, 2])).shape == (2, 1, 28, 28)


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((1, 30, 28), {"multipliers": [1, 1, 1]}, "multipliers must halve the image's sides"),
        ((1, 28, 28), {"width": 12}, "width must be a multiple of 8, got 12"),
        ((1, 28, 28), {"activation": "selu"}, "activation must be one of"),
    ],
)
def test_what_it_cannot_take_is_refused(
    shape: tuple[int, ...], options: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        DiffusersUNet(shape, 20, **(SMALL | options))  # type: ignore[arg-type]


def test_without_the_package_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ValueError, match=r"needs diffusers: pip install .*\[diffusers\]"):
        network()

"""The files of conf/model: what their comments say, and the image sizes that they take."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from thaw.networks.cnn import CNN
from thaw.networks.diffusers_unet import DiffusersUNet
from thaw.networks.dit import DiT
from thaw.networks.patch_unet import PatchUNet
from thaw.networks.unet import Attention, UNet

FOLDER = Path(__file__).resolve().parents[2] / "conf" / "model"
COUNT = re.compile(r"([\d,]+) parameters\s+on (\d+) x (\d+) x (\d+),\s+([\d,.]+) MMAC an image")
KINDS: dict[str, Any] = {kind.__name__: kind for kind in (CNN, DiffusersUNet, DiT, UNet, PatchUNet)}
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def options(name: str) -> dict[str, Any]:
    node: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    parents = [parent for parent in node.pop("defaults", []) if parent != "_self_"]
    return {key: value for parent in parents for key, value in options(parent).items()} | node


def network(name: str, shape: tuple[int, ...], **changes: Any) -> nn.Module:
    chosen = options(name) | changes
    return KINDS[chosen.pop("_target_").rpartition(".")[2]](shape, 1000, **chosen)


def documented_counts() -> list[tuple[str, int, tuple[int, ...], float]]:
    found = []
    for name in NAMES:
        text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").replace("\n#", "")
        for count, *shape, macs in COUNT.findall(text):
            number, cost = int(count.replace(",", "")), float(macs.replace(",", ""))
            found.append((name, number, tuple(map(int, shape)), cost))
    return found


def test_every_file_says_how_large_it_is_and_what_an_image_costs() -> None:
    assert {name for name, *_ in documented_counts()} == set(NAMES)


@pytest.mark.parametrize(("name", "count", "shape", "macs"), documented_counts())
def test_these_numbers_are_true(name: str, count: int, shape: tuple[int, ...], macs: float) -> None:
    """Parameters, and multiply-accumulates as torch counts them: half of its operations."""
    with torch.device("meta"):
        model = network(name, shape)
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(1, *shape), torch.empty(1, dtype=torch.int64))
    assert sum(parameter.numel() for parameter in model.parameters()) == count
    assert round(counter.get_total_flops() / 2e6, 1) == macs


@pytest.mark.parametrize(
    ("name", "shape", "attended"),
    [
        ("unet", (1, 28, 28), [7]),
        ("unet", (3, 32, 32), [8]),
        ("unet", (3, 64, 64), [16]),
        ("unet_base", (1, 28, 28), [4, 7, 14]),
        ("unet_base", (3, 32, 32), [4, 8, 16]),
        ("unet_base", (3, 64, 64), [8, 16]),
    ],
)
def test_each_size_takes_each_image_with_attention_at_the_low_resolutions(
    name: str, shape: tuple[int, int, int], attended: list[int]
) -> None:
    model = network(name, shape, num_classes=3)
    # Blocks start at weights of 0, which would hide the image.
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.02)
    sides: set[int] = set()
    for module in model.modules():
        if isinstance(module, Attention):
            module.register_forward_hook(lambda m, i, o: sides.add(o.shape[-1]))
    x_t = torch.randn(1, *shape)
    with torch.no_grad():
        output = model(x_t, torch.tensor([500]), torch.tensor([2]))
        other = model(-x_t, torch.tensor([500]), torch.tensor([2]))
    assert output.shape == x_t.shape
    assert output.isfinite().all()
    assert not torch.equal(output, other)
    assert sorted(sides) == attended

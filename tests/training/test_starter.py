"""The study's trained models as found in public: the same network, schedule and order of lines."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hostile_files import KINDS, MakesFolder
from starter_files import starter_forward, starter_schedule, starter_state, write_starter
from torch import Tensor

from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.schedules import alpha_bar_of, table
from thaw.networks.cnn import CNN
from thaw.training.starter import read_starter

STATE = starter_state()


@pytest.mark.parametrize(
    ("name", "act"), [("gelu", F.gelu), ("selu", F.selu)], ids=["gelu", "selu"]
)
def test_the_network_gives_what_the_original_does(
    name: str, act: Callable[[Tensor], Tensor], tmp_path: Path
) -> None:
    num_steps = 100
    path = write_starter(tmp_path / "x.pth", STATE | starter_schedule(num_steps))
    found = read_starter(path)
    network = CNN(found.image_shape, num_steps, activation=name, **found.changes["model"])
    network.load_state_dict(found.weights)
    x, t = torch.randn(4, 1, 28, 28), torch.tensor([1, 17, 63, 100])
    with torch.no_grad():
        expected = starter_forward(STATE, x, t / num_steps, act)
        torch.testing.assert_close(network(x, t), expected, rtol=0, atol=1e-6)


def test_the_schedule_is_the_files_own_from_its_first_trained_step(tmp_path: Path) -> None:
    """T + 1 betas there: alpha_t[t] is the share of the image at each step t = 1..T here."""
    buffers = starter_schedule(30)
    found = read_starter(write_starter(tmp_path / "x.pth", STATE | buffers))
    assert found.experiment == "ddpm_gelu_1000"
    node = found.changes["schedule"]
    assert node["_target_"] == "thaw.diffusion.schedules.table"
    alpha_bar = alpha_bar_of(table(node["alpha_bar"]))
    torch.testing.assert_close(alpha_bar[1:].float(), buffers["alpha_t"][1:], rtol=1e-7, atol=0)
    assert (len(alpha_bar), alpha_bar[0]) == (31, 1)


@pytest.mark.parametrize(("name", "axis"), [("rows_t", "row"), ("cols_t", "column")])
def test_the_order_of_the_lines_is_the_files(name: str, axis: str, tmp_path: Path) -> None:
    order = torch.randperm(28, generator=torch.Generator().manual_seed(1))
    found = read_starter(write_starter(tmp_path / "x.pth", STATE | {name: order}))
    assert found.experiment == "columns_random"
    keys = found.changes["degradation"]
    assert keys["axis"] == axis
    degradation = LineAverage((1, 28, 28), **keys)
    x_0 = torch.rand(2, 1, 28, 28)
    for t in (1, 13, 28):
        expected = x_0.clone()
        for line in order[:t].tolist():
            at = (..., line) if axis == "column" else (..., line, slice(None))
            expected[at] = x_0[at].mean(-1, keepdim=True)
        x_t = degradation(x_0, torch.tensor([t, t]), degradation.draw_noise(x_0))
        torch.testing.assert_close(x_t, expected, rtol=0, atol=1e-6)


def test_groups_of_lines_are_rows_of_the_order(tmp_path: Path) -> None:
    groups = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    lines = groups[:, None] * 4 + torch.arange(4)
    found = read_starter(write_starter(tmp_path / "x.pth", STATE | {"cols_t": lines}))
    keys = found.changes["degradation"]
    assert keys == {"axis": "column", "order": groups.tolist(), "group_size": 4}


WRONG = {
    "no network": ({"alpha_t": torch.ones(3)}, "it holds no gt.blocks"),
    "another layer": (STATE | {"gt.head.weight": torch.ones(1)}, "it holds gt.head.weight"),
    "no schedule": (STATE, "'alpha_t' is missing"),
    "a layer missing": (
        {key: value for key, value in STATE.items() if "blocks.1.net.0" not in key},
        "'blocks.1.0.weight' is missing",
    ),
    "another norm": (
        STATE | starter_schedule(5) | {"gt.blocks.0.net.1.weight": torch.ones(28, 28)},
        "its LayerNorm is not over (C, H, W)",
    ),
    "other frequencies": (STATE | {"gt.frequencies": torch.ones(16)}, "other frequencies"),
    "lines twice": (STATE | {"rows_t": torch.zeros(28, dtype=torch.int64)}, "each line once"),
    "scattered groups": (STATE | {"rows_t": torch.randperm(28).view(7, 4)}, "neighbours"),
}


@pytest.mark.parametrize(("contents", "words"), WRONG.values(), ids=WRONG)
def test_other_files_are_refused_in_one_line(
    contents: dict[str, Tensor], words: str, tmp_path: Path
) -> None:
    path = write_starter(tmp_path / "x.pth", contents)
    with pytest.raises(ValueError, match=f"{path} is no model of the study's starter") as caught:
        read_starter(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_malicious_file_does_nothing(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(KINDS[kind](STATE | {"alpha_t": MakesFolder(tmp_path / "executed")}))
    with pytest.raises(ValueError, match="nothing of it was executed"):
        read_starter(path)
    assert not (tmp_path / "executed").exists()


def test_more_than_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "model": dict(STATE)}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match="it holds more than tensors by name"):
        read_starter(tmp_path / "x.pth")

"""Fine-tuning starts from the tensors that fit, of whatever file, and says which do not."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile_files import KINDS, MakesFolder, checkpoint, write
from training_helpers import make_module, make_restorer

from thaw.diffusion.restorer import Restorer
from thaw.networks.cnn import CNN
from thaw.training.ema import EMA
from thaw.training.initial import read_initial
from thaw.training.weights import write_weights

SHAPE = (1, 8, 8)


def restorer(**options: Any) -> Restorer:
    return make_restorer(CNN(SHAPE, 8, **({"hidden": [4, 4], "kernel_size": 3} | options)))


def weights_of(path: Path, model: Any) -> Path:
    write_weights(path, model.state_dict(), {"config": {}}, 4)
    return path


def test_the_same_network_starts_as_the_other_ended(tmp_path: Path) -> None:
    before, model = make_module(restorer()), make_module(restorer())
    initial = read_initial(weights_of(tmp_path / "model.safetensors", before))
    found = initial.start(model)
    for name, tensor in model.restorer.network.state_dict().items():
        assert torch.equal(tensor, before.restorer.network.state_dict()[name]), name
    assert (found["epoch"], found["new"], found["left_out"]) == (5, [], [])
    assert found["fit"] == len(model.restorer.network.state_dict())


def test_what_does_not_fit_is_named_and_left_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """More classes, and another width of the last block; all else fits."""
    before = make_module(restorer(hidden=[4, 6]))
    model = make_module(restorer(hidden=[4, 4], num_classes=3))
    own = {name: x.clone() for name, x in model.restorer.network.state_dict().items()}
    with caplog.at_level(logging.INFO):
        found = read_initial(weights_of(tmp_path / "x.safetensors", before)).start(model)
    of_block = [f"blocks.1.{layer}.{kind}" for layer in (0, 1) for kind in ("weight", "bias")]
    assert found["new"] == [*of_block, "last.weight", "label_embedding.weight"]
    assert sorted(found["left_out"]) == sorted([*of_block, "last.weight"])
    now, then = model.restorer.network.state_dict(), before.restorer.network.state_dict()
    for name in now:
        expected = own if name in found["new"] else then
        assert torch.equal(now[name], expected[name]), name
    assert "new here: blocks.1.0.weight" in caplog.text
    assert "and 3 more; left out: blocks.1.0.bias" in caplog.text


def test_the_average_is_what_is_taken_and_it_is_set_too(tmp_path: Path) -> None:
    before = make_module(first := restorer(), ema=EMA(first))
    assert before.ema is not None
    with torch.no_grad():
        for parameter in before.ema.average.parameters():
            parameter.add_(1)
    model = make_module(second := restorer(), ema=EMA(second))
    read_initial(weights_of(tmp_path / "x.safetensors", before)).start(model)
    average = before.ema.average.network.state_dict()
    for network in (model.restorer.network, model.evaluated.network):
        for name, tensor in network.state_dict().items():
            assert torch.equal(tensor, average[name]), name


def test_a_run_directory_is_its_last_checkpoint(tmp_path: Path) -> None:
    contents = checkpoint()
    run_dir = write(tmp_path / "run", contents)
    of_run = read_initial(run_dir)
    assert of_run.path == run_dir / "checkpoints" / "last.ckpt"
    names = {name for name in contents["state_dict"] if name.startswith("restorer.network.")}
    assert {f"restorer.network.{name}" for name in of_run.tensors} == names


def test_what_nothing_fits_of_is_refused(tmp_path: Path) -> None:
    initial = read_initial(weights_of(tmp_path / "x.safetensors", make_module()))
    with pytest.raises(ValueError, match="none of its tensors .* fits this network, a CNN"):
        initial.start(make_module(restorer()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_malicious_file_does_nothing(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    path.write_bytes(KINDS[kind](MakesFolder(tmp_path / "executed")))
    with pytest.raises(ValueError, match=r"init_from=.*x\.ckpt: .*nothing of it was executed"):
        read_initial(path)
    assert not (tmp_path / "executed").exists()


def test_what_is_no_file_of_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.safetensors").write_bytes(b"nonsense")
    torch.save({"x": torch.ones(1)}, tmp_path / "other.pth")
    for name, words in (
        ("nothing", "no such file or directory"),
        ("empty", "no checkpoint at"),
        ("x.safetensors", "damaged or not a safetensors file"),
        ("other.pth", "is not a checkpoint of thaw"),
    ):
        with pytest.raises(ValueError, match=f"init_from={tmp_path / name}: .*{words}"):
            read_initial(tmp_path / name)

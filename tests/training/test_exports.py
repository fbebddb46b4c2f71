"""Networks for other programs: each gives what the network gives, for batches of any size."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel
from torch import Tensor, nn

from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.predictions import EDM, Clean, Flow, Noise, Velocity
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.schedules import alpha_bar_of, cosine, edm, flow, linear
from thaw.networks.cnn import CNN
from thaw.networks.diffusers_unet import DiffusersUNet
from thaw.networks.dit import DiT
from thaw.networks.patch_unet import PatchUNet
from thaw.networks.unet import UNet
from thaw.pixels import PixelRange
from thaw.training import exports

NUM_STEPS = 28
NETWORKS: dict[str, tuple[Any, dict[str, Any]]] = {
    "cnn": (CNN, {"hidden": [4, 4], "kernel_size": 3}),
    "cnn with a mask": (CNN, {"hidden": [4], "kernel_size": 3, "extra_channels": 1}),
    "patch_unet by class": (PatchUNet, {"width": 8, "num_classes": 10}),
    "dit by class": (DiT, {"width": 16, "depth": 2, "num_classes": 10}),
    "dit, learned": (DiT, {"width": 16, "depth": 2, "positions": "learned"}),
    "unet": (UNet, {"width": 8}),
    "diffusers_unet by class": (
        DiffusersUNet,
        {"width": 8, "multipliers": [1, 2], "num_classes": 10},
    ),
}


def restorer(kind: Any, options: dict[str, Any], shape: tuple[int, ...] = (1, 28, 28)) -> Restorer:
    """Of line averaging, with weights of which none is 0."""
    network: nn.Module = kind(shape, NUM_STEPS, **options)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    condition = "mask" if options.get("extra_channels") else None
    degradation = LineAverage(shape, "column", "random", condition=condition)
    return Restorer(network, degradation, Clean(), PixelRange(-0.5, 0.5)).eval()


def inputs(restorer: Restorer, num_images: int) -> dict[str, Tensor]:
    extra = 1 if restorer.degradation.condition else 0
    found = {
        "x_t": torch.randn(num_images, 1 + extra, 28, 28),
        "t": torch.randint(1, NUM_STEPS + 1, (num_images,)),
    }
    if restorer.num_classes:
        found["labels"] = torch.randint(-1, restorer.num_classes, (num_images,))
    return found


@pytest.fixture(params=NETWORKS, name="model")
def _model(request: pytest.FixtureRequest) -> Restorer:
    return restorer(*NETWORKS[request.param])


def test_onnx_gives_the_same(model: Restorer, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra test")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra test")
    words = exports.write_export("onnx", model, (1, 28, 28), tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    for num_images in (1, 5, 65):
        given = inputs(model, num_images)
        assert all(f"`{name}`" in words for name in given)
        (output,) = session.run(["output"], {name: x.numpy() for name, x in given.items()})
        with torch.no_grad():
            np.testing.assert_allclose(output, model.network(*given.values()), atol=1e-5, rtol=0)


def test_torch_export_gives_the_same(model: Restorer, tmp_path: Path) -> None:
    words = exports.write_export("torch", model, (1, 28, 28), tmp_path)
    is_limited = isinstance(model.network, DiffusersUNet)
    assert ("for batches of at most 63 images" in words) == is_limited
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt2"]
    network = torch.export.load(tmp_path / "model.pt2").module()
    for num_images in (1, 5, 63 if is_limited else 65):
        given = tuple(inputs(model, num_images).values())
        with torch.no_grad():
            torch.testing.assert_close(network(*given), model.network(*given), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("prediction", "kind"), [(Noise, "epsilon"), (Clean, "sample"), (Velocity, "v_prediction")]
)
def test_diffusers_gives_the_same_step(prediction: Any, kind: str, tmp_path: Path) -> None:
    """x_0_hat, and the tables, of a scheduler of diffusers are those of thaw."""
    whole = restorer(*NETWORKS["diffusers_unet by class"])
    schedule = cosine(NUM_STEPS) if prediction is Velocity else linear(NUM_STEPS)
    model = Restorer(whole.network, Gaussian(schedule), prediction(), PixelRange(-1, 1)).eval()
    exports.write_export("diffusers", model, (1, 28, 28), tmp_path)
    unet = UNet2DModel.from_pretrained(tmp_path / "unet")
    scheduler = DDPMScheduler.from_pretrained(tmp_path / "scheduler")
    assert (scheduler.config.prediction_type, len(scheduler.betas)) == (kind, NUM_STEPS)
    torch.testing.assert_close(
        scheduler.alphas_cumprod.double(), alpha_bar_of(schedule)[1:], atol=1e-6, rtol=1e-4
    )
    x_t, t, labels = torch.randn(2, 1, 28, 28), torch.tensor([20, 20]), torch.tensor([3, 10])
    with torch.no_grad():
        output = unet(x_t, t - 1, labels).sample
        x_0_hat = scheduler.step(output, 19, x_t).pred_original_sample
        known = labels.where(labels < 10, -1)
        own = model.prediction.decode(
            model.predict(x_t, t, known), x_t, t, model.degradation
        ).clamp(-1, 1)
    torch.testing.assert_close(x_0_hat, own, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("schedule", "prediction", "given"),
    [(edm(NUM_STEPS), EDM(), "times c_in"), (flow(NUM_STEPS), Flow(), "`t`, int64")],
    ids=["edm", "flow"],
)
def test_what_is_no_ddpm_comes_without_its_scheduler_and_says_what_goes_in(
    schedule: torch.Tensor, prediction: Any, given: str, tmp_path: Path
) -> None:
    whole = restorer(*NETWORKS["diffusers_unet by class"])
    model = Restorer(whole.network, Gaussian(schedule), prediction, PixelRange(-1, 1)).eval()
    words = exports.write_export("diffusers", model, (1, 28, 28), tmp_path)
    name = type(prediction).__name__
    assert f"no scheduler that undoes the noise of this schedule for prediction {name}" in words
    assert given in words
    assert not (tmp_path / "scheduler").exists()


def test_a_cold_unet_comes_without_a_scheduler_and_says_so(tmp_path: Path) -> None:
    model = restorer(*NETWORKS["diffusers_unet by class"])
    words = exports.write_export("diffusers", model, (1, 28, 28), tmp_path)
    assert "Diffusers has no scheduler that undoes LineAverage" in words
    assert [path.name for path in tmp_path.iterdir()] == ["unet"]


def test_what_cannot_be_exported_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    network = restorer(*NETWORKS["cnn"]).network
    with pytest.raises(ValueError, match="to=diffusers takes .* this is a CNN"):
        exports.check_export("diffusers", network)
    monkeypatch.setattr(exports.importlib.util, "find_spec", lambda name: None)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"to=onnx needs onnx and onnxscript: pip .*\[export\]"):
        exports.check_export("onnx", network)
    exports.check_export("torch", network)

"""A trained network for other programs: ONNX, torch.export, and diffusers with its scheduler."""

import copy
import importlib.util
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from thaw import storage
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.inference import evaluating
from thaw.diffusion.predictions import Clean, Noise, Prediction, Velocity
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.schedules import alpha_bar_of, betas_of
from thaw.networks.diffusers_unet import DiffusersUNet
from thaw.provenance import install_command

log = logging.getLogger(__name__)
Format = Literal["safetensors", "onnx", "torch", "diffusers"]
ONNX, TORCH, UNET, SCHEDULER = "model.onnx", "model.pt2", "unet", "scheduler"
# The packages that each takes, which its extra installs.
PACKAGES: dict[str, tuple[str, ...]] = {"onnx": ("onnx", "onnxscript"), "diffusers": ("diffusers",)}
TYPES: dict[type[Prediction[Any]], str] = {
    Noise: "epsilon",
    Clean: "sample",
    Velocity: "v_prediction",
}
Shape = tuple[int, int, int]


def check_export(to: Format, network: nn.Module) -> None:
    """Refuse what a network cannot be exported to, or not with what is installed."""
    missing = [each for each in PACKAGES.get(to, ()) if importlib.util.find_spec(each) is None]
    if missing:
        raise ValueError(f"to={to} needs {' and '.join(missing)}: {install_command('export')}")
    if to == "diffusers" and not isinstance(network, DiffusersUNet):
        raise ValueError(
            f"to=diffusers takes a network of model=diffusers_unet, which is a UNet2DModel; this "
            f"is a {type(network).__name__}, which to=onnx and to=torch take"
        )


def write_export(to: Format, restorer: Restorer, shape: Shape, out: Path) -> str:
    """Write the network into a folder; the answer is how it is used, in Markdown for its card.

    ``shape`` is (C, H, W) of the images. Networks come out in float32, for batches of any size or
    of those that the answer says.
    """
    if to == "safetensors":
        return ""
    storage.make_folder(out)
    network = copy.deepcopy(restorer.network).float().cpu()
    # Without the exporters' notes on themselves.
    with evaluating(network), storage.writing(out), warnings.catch_warnings(action="ignore"):
        words = WRITERS[to](network, restorer, shape, out)
    return f"\n{words}\n{_in_and_out(restorer, shape)}\n"


def _write_onnx(network: nn.Module, restorer: Restorer, shape: Shape, out: Path) -> str:
    example, names = _example(restorer, shape)
    for package in ("onnxscript", "onnx_ir"):  # which say each step of theirs
        logging.getLogger(package).setLevel(logging.WARNING)
    program = torch.onnx.export(
        network,
        example,
        dynamo=True,
        input_names=names,
        output_names=["output"],
        dynamic_shapes=tuple({0: torch.export.Dim("batch")} for _ in names),
        verbose=False,
    )
    assert program is not None
    # Protocol buffers end at 2 GiB; beyond, the weights lie in a file beside it.
    program.save(out / ONNX)
    fed = ", ".join(f'"{name}": {name}' for name in names)
    return (
        f"`{ONNX}` is the network for ONNX, in NumPy arrays:\n\n```python\n"
        f'session = onnxruntime.InferenceSession("{ONNX}")\n'
        f'(output,) = session.run(["output"], {{{fed}}})\n```\n'
    )


def _write_torch(network: nn.Module, restorer: Restorer, shape: Shape, out: Path) -> str:
    example, names = _example(restorer, shape)
    # Not Dim("batch"), which refuses diffusers' U-Net: that has another path from 64 images on.
    free = tuple({0: torch.export.Dim.AUTO} for _ in names)
    program = torch.export.export(network, example, dynamic_shapes=free)
    most = [str(found.upper) for found in program.range_constraints.values()]
    limit = "" if most == ["int_oo"] else f", for batches of at most {', '.join(most)} images"
    with storage.replacing(out / TORCH) as unfinished:
        torch.export.save(program, unfinished.with_suffix(".pt2"))
        unfinished.with_suffix(".pt2").replace(unfinished)
    version = torch.__version__.partition("+")[0]
    return (
        f"`{TORCH}` is the network by torch.export{limit}; it needs torch {version} "
        "or newer and no thaw:\n\n```python\n"
        f'network = torch.export.load("{TORCH}").module()\n'
        f"output = network({', '.join(names)})\n```\n"
    )


def _write_diffusers(network: nn.Module, restorer: Restorer, shape: Shape, out: Path) -> str:
    assert isinstance(network, DiffusersUNet)
    network.unet.save_pretrained(out / UNET)  # type: ignore[operator]
    text = (
        f"`{UNET}` is a UNet2DModel of diffusers, which counts steps from 0: give it t - 1"
        + (f", and the class {network.num_classes} for none" if network.num_classes else "")
        + f':\n\n```python\nunet = UNet2DModel.from_pretrained("{UNET}")\n'
    )
    degradation, prediction = restorer.degradation, type(restorer.prediction)
    if not (isinstance(degradation, Gaussian) and _is_ddpm(degradation.schedule, prediction)):
        undone = type(degradation).__name__
        if isinstance(degradation, Gaussian):
            undone = f"the noise of this schedule for prediction {prediction.__name__}"
        why = f"diffusers has no scheduler that undoes {undone}"
        log.warning("%s: the UNet2DModel is written without one", why)
        return f"{text}```\n\n{why[0].upper()}{why[1:]}, so this folder has no scheduler.\n"
    from diffusers import DDPMScheduler

    low, high = restorer.pixel_range
    scheduler: Any = DDPMScheduler(  # type: ignore[no-untyped-call]
        num_train_timesteps=degradation.num_steps,
        trained_betas=betas_of(alpha_bar_of(degradation.schedule)).tolist(),
        prediction_type=TYPES[prediction],
        clip_sample=-low == high,
        clip_sample_range=high,
    )
    scheduler.save_pretrained(out / SCHEDULER)
    return f'{text}scheduler = DDPMScheduler.from_pretrained("{SCHEDULER}")\n```\n'


def _is_ddpm(table: Tensor, prediction: type[Prediction[Any]]) -> bool:
    """Whether DDPMScheduler has such a prediction, and such a table, that keeps the variance."""
    variance = table.square().sum(1)
    return prediction in TYPES and torch.allclose(variance, torch.ones_like(variance))


WRITERS: dict[str, Callable[[nn.Module, Restorer, Shape, Path], str]] = {
    "onnx": _write_onnx,
    "torch": _write_torch,
    "diffusers": _write_diffusers,
}


def _example(restorer: Restorer, shape: Shape) -> tuple[tuple[Tensor, ...], list[str]]:
    """Inputs of two images, by which a network is traced, and their names."""
    channels, *sides = shape
    extra = 0 if restorer.degradation.condition is None else 1
    x_t, t = torch.zeros(2, channels, *sides), torch.ones(2, dtype=torch.int64)
    with torch.no_grad():
        x_t, t = restorer.prediction.network_input(x_t, t, restorer.degradation)
    inputs = {"x_t": torch.cat([x_t, torch.zeros(2, extra, *sides)], dim=1), "t": t}
    if restorer.num_classes is not None:
        inputs["labels"] = torch.zeros(2, dtype=torch.int64)
    return tuple(inputs.values()), list(inputs)


def _in_and_out(restorer: Restorer, shape: Shape) -> str:
    """What goes into a network and comes out, as a list in Markdown."""
    (x_t, *_), _ = _example(restorer, shape)
    low, high = restorer.pixel_range
    degradation = restorer.degradation
    size = ", ".join(map(str, x_t.shape[1:]))
    scaled = restorer.prediction.input_in_words
    lines = [
        f"in: `x_t`, float32 `[B, {size}]`, degraded images of [{low:g}, {high:g}]"
        + (", the last channel the degradation's mask" if degradation.condition else "")
        + (f", {scaled[0]}" if scaled else ""),
        f"in: `t`, {'float32' if scaled else 'int64'} `[B]`, their steps, 1 to "
        f"{degradation.num_steps}" + (f", {scaled[1]}" if scaled else ""),
    ]
    if (num_classes := restorer.num_classes) is not None:
        lines.append(f"in: `labels`, int64 `[B]`, 0 to {num_classes - 1}, or -1 for none")
    meaning = " ".join((type(restorer.prediction).__doc__ or "").split("\n\n")[0].split())
    size = ", ".join(map(str, shape))
    lines.append(f"out: `output`, float32 `[B, {size}]`. {meaning}")
    return "\n".join(f"- {line}" for line in lines)

"""What constructors and functions of the theory refuse, and in which words."""

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from hydra.utils import get_object
from theory_support import RANGE

from thaw.diffusion import schedules
from thaw.diffusion.degradations.animorph import Animorph
from thaw.diffusion.degradations.blur import Blur
from thaw.diffusion.degradations.fade import Decolour, Fade
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.inpaint import Inpaint
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.degradations.line_noise import LineNoise
from thaw.diffusion.degradations.pixelate import Pixelate
from thaw.diffusion.degradations.snow import Snow
from thaw.diffusion.degradations.zoom import Zoom
from thaw.diffusion.objectives import MSE
from thaw.diffusion.timesteps import LossSecondMoment
from thaw.networks.cnn import CNN
from thaw.networks.unet import UNet

CONF = Path(__file__).resolve().parents[2] / "conf"
GROUPS = ("degradation", "schedule", "prediction", "objective", "model", "prior", "sampler", "ema",
          "lr_scheduler")  # fmt: skip
SHAPE = (1, 28, 20)
PARTNERS = SimpleNamespace(load=tuple)
columns = partial(LineAverage, SHAPE, "column", order="random")
hybrid = partial(LineNoise, SHAPE, "row", order="random")
animorph = partial(Animorph, SHAPE, RANGE, torch.ones(3), partners=PARTNERS)
inpaint, snow = partial(Inpaint, SHAPE, RANGE), partial(Snow, RANGE)
cnn, unet = partial(CNN, SHAPE, 10), partial(UNet, SHAPE, 10)


@pytest.mark.parametrize(
    ("build", "arguments", "message"),
    [
        (Blur, {"kernel_size": 10}, "kernel_size must be odd and at most 41 for these .* got 10"),
        (Blur, {"kernel_size": 1}, "kernel_size must be a whole number of at least 3, got 1"),
        (Blur, {"kernel_size": 43}, "kernel_size must be odd and at most 41 for these .* got 43"),
        (Blur, {"kernel_size": 41, "padding": "reflect"}, "kernel_size must be .* at most 39"),
        (Blur, {"rate": 0.1}, "rate=0.1 needs a linear or exponential growth"),
        (Pixelate, {"num_steps": 6}, "num_steps must be at most 5, where one pixel is left"),
        (Zoom, {"crop_size": 20}, "crop_size must be below the image's shorter side of 20, got 20"),
        (Zoom, {"num_steps": 13}, "num_steps must be at most 12, the pixels to crop, got 13"),
        (Decolour, {}, "Decolour needs images of 2 channels or more, got 1"),
        (columns, {"group_size": 3}, "group_size=3 does not divide the image's 20 columns; choose"),
        (columns, {"group_size": 40}, "group_size=40 .* choose one of 1, 2, 4, 5, 10, 20$"),
        (columns, {"order": "zigzag"}, "order must be .*random, outside_in.*shuffled"),
        (columns, {"condition": "lines"}, "condition must be mask or null, got 'lines'"),
        (
            hybrid,
            {"order": "shuffled"},
            "order must be .*outside_in, inside_out, last_to_first, got",
        ),
        (hybrid, {"overlap": 1.5}, "overlap must be a number from 0 to 1, got 1.5"),
        (snow, {"threshold": 1.2}, "threshold must be a number from 0 to 1.15, got 1.2"),
        (animorph, {"partners": None}, "partners must be a Source, got None"),
        (Gaussian, {"schedule": [1, 0]}, r"schedule must be a Tensor, got \[1, 0\]"),
        (schedules.linear, {"beta_start": 0}, "beta_start must be a number above 0 and below 1"),
        (MSE, {"weighting": LossSecondMoment()}, "weighting must be a Weighting or null, got Loss"),
        (cnn, {"hidden": [16, 2.5]}, r"hidden must be a list .* got \[16, 2.5\]"),
        (cnn, {"kernel_size": 4}, "kernel_size must be odd, to keep the image's size, got 4"),
        (cnn, {"activation": "GELU"}, "activation must be one of gelu, .*, sigmoid, got 'GELU'"),
        (
            unet,
            {"label_dropout": 1},
            "label_dropout must be a number .* below 1, got 1",
        ),
        (unet, {"width": 12}, "width must be a multiple of 8, got 12"),
    ],
)
def test_what_is_refused_names_the_parameter_and_what_is_allowed(
    build: Callable[..., Any], arguments: dict[str, Any], message: str
) -> None:
    if build in (Blur, Pixelate, Zoom, Decolour):
        build = partial(build, SHAPE)
    if getattr(build, "__module__", "") == schedules.__name__:
        arguments = {"timesteps": 10} | arguments
    with pytest.raises(ValueError, match=f"^{message}"):
        build(**arguments)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_ends_of_a_range_are_allowed(share: float) -> None:
    assert hybrid(overlap=share).num_steps == 100
    assert LossSecondMoment(uniform_share=share).uniform_share == share
    assert unet(width=8, multipliers=[1], dropout=share).label_embedding is None
    assert Fade(num_steps=1).num_steps == 1


def targets() -> list[str]:
    files = [path for group in GROUPS for path in (CONF / group).rglob("*.yaml")]
    found = {yaml.safe_load(path.read_text()).get("_target_") for path in files}
    return sorted(target for target in found if target)


@pytest.mark.parametrize("target", targets())
def test_whatever_takes_values_from_a_configuration_checks_them(target: str) -> None:
    """Nothing but what nn.Module and object take, which is nothing."""
    function = get_object(target)
    if inspect.isclass(function):
        function = function.__init__
        if function in (object.__init__, torch.nn.Module.__init__):
            return
    assert hasattr(function, "constraints")

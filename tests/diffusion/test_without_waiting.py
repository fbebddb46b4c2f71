"""On a GPU no step of training or of a sampler waits for the device, or has a tensor elsewhere.

Torch's fake tensors know their device and shape alone, need no GPU, and refuse what only a value
could answer (a number read from the device, a mask that selects) and what mixes devices. A
GPU, where there is one, is asked too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import Generator, Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException as ReadsAValue
from torch._subclasses.fake_tensor import DynamicOutputShapeException as ReadsAMask
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._pytree import tree_leaves, tree_map_only

from thaw.commands import config
from thaw.diffusion.samplers.base import Sampler
from thaw.diffusion.samplers.cold import Cold, Dissipation, Naive
from thaw.diffusion.samplers.gaussian import DDIM, Ancestral
from thaw.diffusion.samplers.solvers import DPMSolver, Heun
from thaw.diffusion.samplers.straight import InDI
from thaw.training.experiment import Experiment, build

CONF = Path(__file__).resolve().parents[2] / "conf"
DEGRADATIONS = sorted(path.stem for path in CONF.glob("degradation/*.yaml"))
# Others are of the same classes, with other values.
SHORT = {"animorph", "blur", "blur_noise", "bridge", "column_noise", "column_random",
         "column_shuffled", "decolour", "fade", "gaussian", "heat", "inpaint", "inpaint_random",
         "paired", "pixelate", "snow", "zoom"}  # fmt: skip
# What it takes beside itself.
WITH = {
    "decolour": ["data=photographs"],
    "paired": ["data=paired_folder"],
    "blur_noise": ["schedule=cosine"],
}
NOISING = ["gaussian", "column_noise", "row_noise", "blur_noise", "heat"]
SMALL = ["data=mnist_5k", "logger=none", "schedule.timesteps=30"]
GPU = "cuda"
Module = TypeVar("Module", bound=nn.Module)
SAMPLERS: list[tuple[str, Sampler]] = [
    *((name, sampler(3)) for name in DEGRADATIONS for sampler in (Cold, Naive)),
    *((name, sampler(3)) for name in NOISING for sampler in (DDIM, Ancestral)),
    ("heat", Dissipation(3)),
    *(("gaussian", sampler(3)) for sampler in (DPMSolver, Heun)),
    ("bridge", InDI(3)),
]


def params(name: str, *values: object) -> Any:
    marks = () if name in SHORT else (pytest.mark.slow,)
    ids = [type(value).__name__ for value in values]
    return pytest.param(name, *values, marks=marks, id="-".join([name, *ids]))


class FakeGPU(FakeTensorMode):
    """Inside, tensors on a GPU are fakes; a copy from or to it that the host waits for fails."""

    COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)

    def __init__(self) -> None:
        super().__init__(allow_non_fake_inputs=True)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = tree_leaves((args, kwargs))
        devices = {each.type for each in given if isinstance(each, torch.device)}
        if GPU not in devices and not any(isinstance(each, FakeTensor) for each in given):
            return func(*args, **kwargs)
        if func not in self.COPIES:
            self._check_devices(func, given)
        args, kwargs = tree_map_only(Tensor, self._fake, (args, kwargs))
        result = super().__torch_dispatch__(func, types, args, kwargs)
        if func in self.COPIES and not kwargs.get("non_blocking"):
            given = tree_leaves((args, result))
            devices = {each.device.type for each in given if isinstance(each, Tensor)}
            assert len(devices) == 1, f"{func} waits for the device"
        return result

    @staticmethod
    def _check_devices(func: Any, given: Sequence[Any]) -> None:
        """Fakes are indexed from anywhere, and draw from any generator; a GPU's tensors are not."""
        tensors = [each for each in given if isinstance(each, Tensor) and each.dim()]
        generators = [each for each in given if isinstance(each, Generator)]
        devices = {each.device.type for each in (*tensors, *generators)}
        assert len(devices) <= 1, f"{func} mixes {devices}"

    def _fake(self, tensor: Tensor) -> Tensor:
        return tensor if isinstance(tensor, FakeTensor) else self.from_tensor(tensor)


@cache
def built(*overrides: str) -> Experiment:
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return build(compose("train", [*SMALL, *overrides]), {})


def with_degradation(name: str) -> Experiment:
    return built(f"degradation={name}", *WITH.get(name, []))


def on_gpu(module: Module) -> Module:
    """A copy whose parameters and buffers are fakes."""
    module = deepcopy(module)
    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    tensors[name] = torch.empty_like(tensor, device=GPU)  # type: ignore[assignment]
    return module


def batch(experiment: Experiment) -> Tensor:
    return torch.empty(3, *experiment.data.stored_shape, device=GPU)


def assert_trains(experiment: Experiment) -> None:
    module = on_gpu(experiment.module)
    labels = torch.zeros(3, dtype=torch.int64, device=GPU)
    loss = module.objective(module.restorer, batch(experiment), None, labels)
    assert loss.device.type == GPU
    if module.ema is not None:
        module.ema.update(module.restorer)


@pytest.mark.parametrize("name", map(params, DEGRADATIONS))
def test_a_loss_does_not_wait(name: str) -> None:
    experiment = with_degradation(name)
    with FakeGPU():
        assert_trains(experiment)


@pytest.mark.parametrize(
    "override",
    [
        "objective=l1",
        "objective=huber",
        "objective/weighting=min_snr",
        "objective/timesteps=importance",
        "objective/timesteps=logit_normal",
        "schedule=flow prediction=flow",
        "schedule=edm prediction=edm objective/timesteps=log_normal",
        "prediction=velocity",
        "model=unet",
        "model.num_classes=10",
        "ema=standard",
    ],
)
def test_no_choice_makes_it_wait(override: str) -> None:
    experiment = built(*override.split())
    with FakeGPU():
        assert_trains(experiment)


@pytest.mark.parametrize(("name", "sampler"), [params(*each) for each in SAMPLERS])
def test_a_sampler_does_not_wait(name: str, sampler: Sampler) -> None:
    experiment = with_degradation(name)
    with FakeGPU(), torch.inference_mode():
        restorer = on_gpu(experiment.restorer).eval()
        x_T, noise = restorer.degradation.draw(batch(experiment))
        assert sampler.sample(restorer, x_T, noise).device.type == GPU


@contextmanager
def no_waiting() -> Iterator[None]:
    """Inside, the GPU refuses what would make the host wait for it."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.parametrize("name", DEGRADATIONS)
def test_a_gpu_takes_a_step_of_training_without_waiting(name: str) -> None:
    experiment = with_degradation(name)
    module = deepcopy(experiment.module).to(GPU)
    x_0 = torch.rand(3, *experiment.data.stored_shape, device=GPU) - 0.5
    draws = Generator(GPU).manual_seed(0)
    for _ in range(2):
        module.objective(module.restorer, x_0, draws, None).backward()  # the libraries' own start
    with no_waiting():
        loss = module.objective(module.restorer, x_0, draws, None)
        loss.backward()
    assert loss.isfinite()


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "sampler"), SAMPLERS)
def test_a_gpu_takes_the_steps_of_a_sampler_without_waiting(name: str, sampler: Sampler) -> None:
    experiment = with_degradation(name)
    restorer = deepcopy(experiment.restorer).to(GPU).eval()
    stored = torch.rand(3, *experiment.data.stored_shape, device=GPU) - 0.5
    x_T, noise = restorer.degradation.draw(stored)
    with torch.inference_mode():
        sampler.sample(restorer, x_T, noise)
        with no_waiting():
            x_0 = sampler.sample(restorer, x_T, noise)
    assert x_0.isfinite().all()


@pytest.mark.gpu
def test_a_gpu_refuses_what_waits() -> None:
    x = torch.ones(3, device=GPU)
    with no_waiting(), pytest.raises(RuntimeError, match="synchroniz"):
        x.mean().item()


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (lambda x: x.mean().item(), ReadsAValue),
        (lambda x: x[x > 0], ReadsAMask),
        (lambda x: x + torch.ones(3), AssertionError),
        (lambda x: x[torch.ones(3).long()], AssertionError),
        (lambda x: torch.randn_like(x, generator=Generator()), AssertionError),
        (lambda x: x.mean().cpu(), AssertionError),
    ],
)
def test_what_waits_is_found(step: Callable[[Tensor], object], error: type[Exception]) -> None:
    with FakeGPU(), pytest.raises(error):
        step(torch.empty(3, device=GPU))


def test_a_number_of_the_host_goes_along_with_an_operation() -> None:
    with FakeGPU():
        x = torch.empty(3, device=GPU) * torch.tensor(0.5, dtype=torch.float64)
        assert (x + torch.ones(3).to(GPU, non_blocking=True)).device.type == GPU

"""compile=true: the same weights by name, the same losses but for rounding, a clear word without
a compiler.
"""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from commands_support import LEAST, ROOT, TINY
from hydra import compose, initialize_config_dir
from torch._dynamo.utils import counters

from thaw.commands import config
from thaw.training.experiment import build, compile_networks

SETTINGS = [*LEAST, "trainer.limit_train_batches=3"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A cache of kernels of the test's own."""
    return {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "kernels")}


def test_the_trained_and_the_averaged_network_are_compiled() -> None:
    config.register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        experiment = build(compose("train", [*LEAST, "logger=none", "ema=standard"]), {})
    compile_networks(experiment, torch.device("cpu"))
    networks = [experiment.module.restorer.network, experiment.restorer.network]
    assert networks[0] is not networks[1]
    x_t, t = torch.zeros(3, *experiment.data.image_shape), torch.ones(3, dtype=torch.int64)
    before = counters["stats"]["unique_graphs"]
    for network in networks:
        network.eval()(x_t, t)
    assert counters["stats"]["unique_graphs"] > before
    assert all(network._compiled_call_impl is not None for network in networks)


@pytest.mark.slow
def test_a_compiled_run_resumes_to_the_same_bits(
    tmp_path: Path, environment: dict[str, str], fork_command: Any
) -> None:
    """Whatever sizes of batches the process has met before: validation's, images' for scores."""
    settings = [*TINY, "compile=true", "metrics.final_num_samples=0", "metrics.num_restored=0"]
    for run, epochs in (("whole", 3), ("cut", 1), ("cut", 3)):
        finished = fork_command(
            "train",
            *settings,
            f"trainer.max_epochs={epochs}",
            f"hydra.run.dir={run}",
            cwd=tmp_path,
            **environment,
        )
        assert finished.returncode == 0, finished.stderr
    states = [
        torch.load(tmp_path / run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for run in ("whole", "cut")
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    whole, cut = ((tmp_path / run / "metrics.csv").read_text() for run in ("whole", "cut"))
    assert whole == cut
    # As without, but for rounding.
    plain = ["compile=false", "trainer.max_epochs=1", "hydra.run.dir=plain"]
    assert fork_command("train", *settings, *plain, cwd=tmp_path).returncode == 0
    with (tmp_path / "plain" / "metrics.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    compiled = next(csv.DictReader(whole.splitlines()))
    for key in ("train/loss", "val/loss"):
        assert float(compiled[key]) == pytest.approx(float(row[key]), rel=1e-4)


@pytest.mark.slow
def test_without_a_compiler_one_line_says_so(
    tmp_path: Path, environment: dict[str, str], run_command: Any
) -> None:
    finished = run_command(
        "train", *SETTINGS, "compile=true", cwd=tmp_path, **environment, CXX="/nowhere/g++"
    )
    assert finished.returncode == 2
    line = finished.stderr.splitlines()[-1]
    assert line.startswith(
        "thaw: compile=true, but torch.compile does not work here: InvalidCxxCompiler: No working"
    )
    assert "Traceback" not in finished.stderr
    assert not list(tmp_path.glob("outputs/*/*/checkpoints"))

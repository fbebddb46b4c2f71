"""What settings make of a step of train.py, each beside the step without it, and beside the limit.

``python benchmarks/variants.py [override ...] -- variant [variant ...]``; a variant is an override
or several, joined by a plus sign: ``-- compile=true trainer.precision=bf16-mixed``. The limit is a
product of two large matrices in the precision of the step's convolutions. ``data=mnist`` makes
the seconds an epoch those of MNIST; the images are as large as those of ``mnist_5k``.
"""

import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from training_step import DEVICE, Bare, configured, gigaflops
from turns import Round, ratio, set_tf32, train

ROUNDS = 15
HAS_GPU = DEVICE.type == "cuda"
# Large enough to keep every unit of a GPU busy.
SIDE, PRODUCTS = (8192, 20) if HAS_GPU else (1024, 3)
BF16 = "trainer.precision=bf16-mixed"
EXACT, TF32 = (
    f"+callbacks.precision={{_target_:turns.Precision,tf32:{x}}}" for x in ("false", "true")
)
VARIANTS = [
    *((EXACT, TF32) if HAS_GPU else ()),
    *("compile=true", "channels_last=true", BF16, "optimizer.fused=null"),
    *((f"{TF32}+channels_last=true", f"{BF16}+channels_last=true") if HAS_GPU else ()),
    f"compile=true+channels_last=true+{BF16}",
]


def words(variant: str) -> str:
    """A variant as the table names it."""
    return variant.replace(EXACT, "no TF32").replace(TF32, "TF32")


def split(variant: str) -> list[str]:
    """The overrides of a variant; one may begin with a plus sign of its own."""
    return re.split(r"(?<=[^+])\+", variant)


def precision(variant: str) -> str:
    """What its convolutions are computed in."""
    if BF16 in variant:
        return "bfloat16"
    return "TF32" if HAS_GPU and EXACT not in variant else "float32"


def peak(name: str) -> float:
    """GFLOP/s of a product of large matrices in a precision, the best of several."""
    set_tf32(name == "TF32")
    dtype = torch.bfloat16 if name == "bfloat16" else torch.float32
    factors = torch.randn(2, SIDE, SIDE, device=DEVICE, dtype=dtype)
    best = 0.0
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(PRODUCTS):
            torch.mm(*factors)
        if HAS_GPU:
            torch.cuda.synchronize()
        best = max(best, PRODUCTS * 2 * SIDE**3 / 1e9 / (time.perf_counter() - start))
    return best


def main(overrides: list[str], variants: list[str]) -> None:
    """Print milliseconds a step, seconds an epoch, the ratio, and the share of the limit."""
    has_data = any(each.startswith("data=") for each in overrides)
    shared = overrides if has_data else ["data=mnist_5k", *overrides]
    commands = {"as it is": train(*shared)}
    commands |= {variant: train(*shared, *split(variant)) for variant in variants}
    with tempfile.TemporaryDirectory() as folder, Round(commands, Path(folder)) as contenders:
        contenders.warm_up()
        found = contenders.seconds(ROUNDS)
    experiment = configured(shared)
    experiment.data.setup()
    steps = len(experiment.data.train_images) // experiment.data.batch_size
    flops = gigaflops(Bare(experiment))
    peaks = {name: peak(name) for name in sorted({precision(name) for name in found})}
    print(f"{' '.join(shared)}: {flops:.1f} GFLOP a step, {steps} steps an epoch, {DEVICE}")
    for name, rate in peaks.items():
        print(f"  a product in {name}: {rate / 1e3:.2f} TFLOP/s")
    for name, spent in found.items():
        middle = statistics.median(spent)
        of_limit = flops / middle / peaks[precision(name)]
        print(
            f"  {words(name):44s} {1000 * middle:8.2f} ms a step, {steps * middle:7.2f} s an "
            f"epoch, {ratio(found, name, 'as it is')}, {of_limit:.2f} of {precision(name)}"
        )


if __name__ == "__main__":
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    main(given[:end], given[end + 1 :] or VARIANTS)

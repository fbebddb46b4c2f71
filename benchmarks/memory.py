"""Peak memory of training, sampling and scoring, each at two sizes: what grows, and by how much.

A network next to nothing, so that what the framework keeps shows. With THAW_DATA set the 60,000
images of MNIST, else the 5,000 that are installed. ``python benchmarks/memory.py``
"""

import os
import tempfile
from pathlib import Path

from measure import Cost, cost

NETWORK = ["model.hidden=[2]", "model.kernel_size=3"]
DATA = "mnist" if os.environ.get("THAW_DATA") else "mnist_5k"
TRAIN = [
    *(f"data={DATA}", "data.batch_size=500", *NETWORK, "degradation=column_random"),
    *("metrics.num_samples=200", "metrics.final_num_samples=0", "metrics.num_restored=0"),
]


def show(name: str, small: tuple[int, Cost], large: tuple[int, Cost]) -> None:
    """Print both peaks and the growth for each one more."""
    (few, before), (many, after) = small, large
    growth = (after.peak_mib - before.peak_mib) / (many - few)
    print(
        f"{name:24s} {few:6d}: {before.peak_mib:7.0f} MiB   {many:6d}: {after.peak_mib:7.0f} MiB"
        f"   {1024 * growth:8.1f} KiB for each more"
    )


def main() -> None:
    """Train, sample and report, small and large."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        imports = cost("", "-c", "import torch, pytorch_lightning, torchmetrics", folder=folder)
        print(f"imports alone            {imports.peak_mib:7.0f} MiB")

        def train(epochs: int) -> Cost:
            last = ["hydra.run.dir=run", "resume=never", f"trainer.max_epochs={epochs}"]
            return cost("train.py", *TRAIN, *last, folder=folder)

        show(f"train.py, epochs ({DATA})", (5, train(5)), (40, train(40)))

        def sample(num: int) -> Cost:
            what = ["run=run", f"num_samples={num}", "sampler.num_steps=2", "animation=null"]
            return cost("sample.py", *what, "out=samples.png", folder=folder)

        show("sample.py, images", (1000, sample(1000)), (10000, sample(10000)))

        def evaluate(num: int) -> Cost:
            what = ["run=run", f"num_samples={num}", "sampler.num_steps=2", "num_restored=0"]
            return cost("evaluate.py", *what, folder=folder)

        show("evaluate.py, images", (1000, evaluate(1000)), (10000, evaluate(10000)))


if __name__ == "__main__":
    main()

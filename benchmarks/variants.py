"""What settings make of a step of train.py, each beside the step without it.

``python benchmarks/variants.py [override ...] -- variant [variant ...]``; a variant is an override
or several, joined by a plus sign: ``-- compile=true trainer.precision=bf16-mixed``.
"""

import statistics
import sys
import tempfile
from pathlib import Path

from turns import Round, ratio, train

ROUNDS = 15
VARIANTS = [
    *("compile=true", "channels_last=true", "trainer.precision=bf16-mixed", "optimizer.fused=null"),
    "compile=true+channels_last=true+trainer.precision=bf16-mixed",
]


def main(overrides: list[str], variants: list[str]) -> None:
    """Print milliseconds a step of each, and the ratio to the step without it."""
    shared = ["data=mnist_5k", *overrides]
    commands = {"as it is": train(*shared)}
    commands |= {variant: train(*shared, *variant.split("+")) for variant in variants}
    with tempfile.TemporaryDirectory() as folder, Round(commands, Path(folder)) as contenders:
        contenders.warm_up()
        found = contenders.seconds(ROUNDS)
    print(" ".join(shared))
    for name, spent in found.items():
        middle = 1000 * statistics.median(spent)
        print(f"  {name:44s} {middle:8.2f} ms a step, {ratio(found, name, 'as it is')}")


if __name__ == "__main__":
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    main(given[:end], given[end + 1 :] or VARIANTS)

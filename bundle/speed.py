"""The benchmarks in order of worth, until the time is up.

``python speed.py SECONDS`` writes into $OUT/results.json what they print. SPEED: some of the
benchmarks, in place of all. VARIANTS: rows of the table of settings, in place of all. OVERRIDES:
what of it concerns the network.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from typing import Any

from results import keep

DATA = f"data={os.environ.get('DATA', 'mnist_5k')}"
NETWORK = [
    each for each in shlex.split(os.environ.get("OVERRIDES", "")) if each.startswith("model")
]
VARIANTS = shlex.split(os.environ.get("VARIANTS", ""))
COMMANDS = {
    "variants": [DATA, *NETWORK, *(["--", *VARIANTS] if VARIANTS else [])],
    "training_step": [DATA, *NETWORK],
    "sampling": ["metrics.batch_size=500", *NETWORK],
}


def main(seconds: float) -> None:
    """Run one after the other, in the time left by those before."""
    end = time.monotonic() + seconds
    found: dict[str, Any] = {}
    for name in shlex.split(os.environ.get("SPEED", "")) or COMMANDS:
        arguments = COMMANDS[name]
        print(f"-- benchmarks/{name}.py {' '.join(arguments)}", flush=True)
        start = time.monotonic()
        # Of a group of its own, which ends with it: it starts processes.
        process = subprocess.Popen(
            [sys.executable, f"benchmarks/{name}.py", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=max(0.0, end - start))
            outcome = "done" if process.returncode == 0 else "failed"
        except subprocess.TimeoutExpired:
            outcome = "cut by its limit"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                output, _ = process.communicate()
        spent = time.monotonic() - start
        print(output[-4000:], end="")
        print(f"-- {name} {outcome} after {spent:.0f} s", flush=True)
        found[name] = {"outcome": outcome, "seconds": spent, "output": output.splitlines()[-60:]}
        keep("speed", found)


if __name__ == "__main__":
    # So that a benchmark and its processes end with this one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main(float(sys.argv[1]))

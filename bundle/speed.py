"""The benchmarks of a GPU in order of worth, until the time is up; their output into $OUT/speed.json.

``python speed.py SECONDS``. VARIANTS: rows of the table of settings, in place of all.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

DATA = f"data={os.environ.get('DATA', 'mnist_5k')}"
TINY = shlex.split(os.environ.get("TINY", ""))
VARIANTS = shlex.split(os.environ.get("VARIANTS", ""))
COMMANDS = {
    "variants": [DATA, *TINY, *(["--", *VARIANTS] if VARIANTS else [])],
    "training_step": [DATA, *TINY],
    "sampling": ["metrics.batch_size=500", *TINY],
}


def main(seconds: float) -> int:
    """Run them; the exit code is 1 if any failed or was cut."""
    end = time.monotonic() + seconds
    found: dict[str, object] = {}
    for name, arguments in COMMANDS.items():
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
        Path(os.environ["OUT"], "speed.json").write_text(json.dumps(found, indent=1))
    return int(any("done" not in str(each) for each in found.values()))


if __name__ == "__main__":
    # So that a benchmark and its processes end with this one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(float(sys.argv[1])))

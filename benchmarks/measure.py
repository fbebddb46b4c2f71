"""What the benchmarks share: a command in a process of its own, its wall time and peak memory."""

import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Cost(NamedTuple):
    """Of one process: seconds on the clock, MiB of resident memory at most, seconds of a CPU."""

    seconds: float
    peak_mib: float
    cpu_seconds: float


def surroundings() -> dict[str, str]:
    """The environment of a command that finds the benchmarks' own classes."""
    paths = [str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def cost(script: str, *arguments: str, folder: Path, **environment: str) -> Cost:
    """Run ``python script arguments`` in ``folder``, its output left in ``folder/log``.

    Raises:
        RuntimeError: it failed.
    """
    command = [sys.executable, *([str(ROOT / script)] if script else []), *arguments]
    start = time.perf_counter()
    process = os.fork()
    if not process:
        try:
            os.chdir(folder)
            log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.execve(command[0], command, surroundings() | environment)
        finally:
            os._exit(127)
    _, status, usage = os.wait4(process, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} failed:\n{(folder / 'log').read_text()[-2000:]}")
    cpu_seconds = usage.ru_utime + usage.ru_stime
    return Cost(time.perf_counter() - start, usage.ru_maxrss / 1024, cpu_seconds)

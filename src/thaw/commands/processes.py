"""The other processes of a run on several devices: they start and end with the first."""

import logging
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pytorch_lightning as pl
import torch.distributed as dist
from hydra.core.hydra_config import HydraConfig
from pytorch_lightning.strategies import ParallelStrategy

from thaw import ranks, runs
from thaw.commands.errors import ProcessEndedError
from thaw.privates.lightning import starts_processes

log = logging.getLogger(__name__)
GRACE_S = 10.0
LAST_LINES = 20


def check_processes(trainer: pl.Trainer, batch_size: int) -> None:
    """Refuse a run that the processes cannot share."""
    world_size = trainer.world_size
    if world_size == 1:
        if ranks.rank() > 0:
            raise ValueError(
                f"the environment says that this is process {ranks.rank()} of several, but this "
                "run is one process: unset RANK and LOCAL_RANK, or use trainer=ddp"
            )
        return
    if not starts_processes(trainer):
        raise ValueError("on several devices trainer.strategy must be that of trainer=ddp")
    if batch_size % world_size:
        nearest = max(1, round(batch_size / world_size)) * world_size
        raise ValueError(
            f"data.batch_size={batch_size} is shared by {world_size} processes and must be a "
            f"multiple of that: data.batch_size={nearest}, or another trainer.devices"
        )


@contextmanager
def together(trainer: pl.Trainer, overrides: Sequence[str], run_dir: Path) -> Iterator[None]:
    """Start this run's other processes on this machine, and end them with the block.

    Lightning would start them by this process's own command, which in a sweep is all of its jobs,
    and each would find its own directory. Nothing is started where srun or torchrun has done so.
    """
    strategy = trainer.strategy
    environment = strategy.cluster_environment if isinstance(strategy, ParallelStrategy) else None
    if environment is None or environment.creates_processes_externally:
        yield
        _leave_group()
        return
    shared = {
        "MASTER_ADDR": environment.main_address,
        "MASTER_PORT": str(environment.main_port),
        "WORLD_SIZE": str(trainer.num_devices),
        "NODE_RANK": "0",
    }
    others = [_Process(k, overrides, run_dir, shared) for k in range(1, trainer.num_devices)]
    os.environ.update(shared | _rank_variables(0))
    is_over = threading.Event()
    threading.Thread(target=_watch, args=(others, run_dir, is_over), daemon=True).start()
    try:
        yield
        _leave_group()
        for other in others:
            with suppress(subprocess.TimeoutExpired):  # it has nothing left to do
                other.process.wait(GRACE_S)
    except BaseException as error:
        if (lost := _lost(others, error)) is None:
            raise
        raise lost.end() from None
    finally:
        is_over.set()
        for other in others:
            other.kill()
        for name in (*shared, *_rank_variables(0)):
            os.environ.pop(name, None)
        _leave_group()


def _lost(others: "Sequence[_Process]", error: BaseException) -> "_Process | None":
    """The process that has failed, where the error is one of communication between processes."""
    is_communication = isinstance(error, dist.DistError) or re.search("gloo|nccl", str(error), re.I)
    end = time.monotonic() + GRACE_S
    while is_communication and time.monotonic() < end:
        for other in others:
            if other.has_failed():
                return other
        time.sleep(0.05)
    return None


def _leave_group() -> None:
    """Leave the process group, which the next job of a sweep would use otherwise."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def _rank_variables(rank: int) -> dict[str, str]:
    return {"RANK": str(rank), "LOCAL_RANK": str(rank)}


def same_arguments(overrides: Sequence[str], run_dir: Path) -> list[str]:
    """The arguments of a command that composes the configuration of this job, and no sweep.

    These are the job's overrides, Hydra's own, and the folders that Hydra looks for configuration
    in (``--config-dir``).
    """
    hydra = HydraConfig.get()
    folders = {source.provider: source.path for source in hydra.runtime.config_sources}
    options: list[str] = [
        f"--config-path={folders['main']}",
        f"--config-name={hydra.job.config_name}",
    ]
    if "command-line" in folders:
        options.append(f"--config-dir={folders['command-line']}")
    # The choice of a sweep's jobs and of where they run is no part of a single job.
    of_sweeps = re.compile(r"[+~]*hydra([./](sweep|launcher|sweeper|job_logging)|\.mode)\b")
    kept: list[str] = [
        override for override in hydra.overrides.hydra if not of_sweeps.match(override)
    ]
    return [*options, *overrides, *kept, f"hydra.run.dir={run_dir}", "hydra/job_logging=none"]


class _Process:
    """One of the other processes, and what it prints."""

    def __init__(
        self, rank: int, overrides: Sequence[str], run_dir: Path, shared: dict[str, str]
    ) -> None:
        self.rank = rank
        self.output: IO[Any] = tempfile.TemporaryFile()  # noqa: SIM115 (kill closes it)
        arguments = same_arguments(overrides, run_dir)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "thaw", "train", *arguments],
            cwd=HydraConfig.get().runtime.cwd,
            env=os.environ | shared | _rank_variables(rank),
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.output,
        )

    def has_failed(self) -> bool:
        return self.process.poll() not in (None, 0)

    def end(self) -> ProcessEndedError:
        """The error for a process that has failed; its last lines are logged."""
        self.output.seek(0)
        lines = self.output.read().decode(errors="replace").splitlines()[-LAST_LINES:] or [""]
        code = self.process.returncode
        log.error("process %d ended with %d:\n%s", self.rank, code, "\n".join(lines))
        return ProcessEndedError(f"process {self.rank}", code, lines[-1])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.output.close()


def _watch(others: Sequence[_Process], run_dir: Path, is_over: threading.Event) -> None:
    """End this process where another has failed and this one would wait for it for ever."""
    while not is_over.wait(1):
        failed = [other for other in others if other.has_failed()]
        if failed and not is_over.wait(GRACE_S):
            end = failed[0].end()
            changes = {"error": str(end), runs.SIGNAL: end.signal_number}
            runs.update_record(run_dir, {"status": "failed"} | changes)
            print(f"thaw: failed: {end}", file=sys.stderr)
            for other in others:
                other.process.kill()
            os._exit(1)


def follow() -> None:
    """End this process as soon as the one that started it is gone; it logs errors only."""
    logging.disable(logging.WARNING)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)

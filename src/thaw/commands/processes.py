"""The other processes of a run on several devices: started with it, watched, ended with it."""

import logging
import os
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
from pytorch_lightning.strategies import ParallelStrategy
from pytorch_lightning.strategies.launchers import _SubprocessScriptLauncher

from thaw import ranks, runs
from thaw.commands.app import CONF

log = logging.getLogger(__name__)
GRACE_S = 10.0
LAST_LINES = 20


def check_processes(trainer: pl.Trainer, batch_size: int) -> None:
    """Refuse what cannot be shared out.

    Raises:
        ValueError: naming the key and what is allowed.
    """
    world_size = trainer.world_size
    if world_size == 1:
        if ranks.rank() > 0:
            raise ValueError(
                f"the environment says that this is process {ranks.rank()} of several, but this "
                "run is one process: unset RANK and LOCAL_RANK, or use trainer=ddp"
            )
        return
    if not isinstance(trainer.strategy.launcher, _SubprocessScriptLauncher):
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
    if not isinstance(strategy, ParallelStrategy) or _are_started(strategy):
        yield
        _part_company()
        return
    environment = strategy.cluster_environment
    assert environment is not None
    shared = {
        "MASTER_ADDR": environment.main_address,
        "MASTER_PORT": str(environment.main_port),
        "WORLD_SIZE": str(trainer.num_devices),
        "NODE_RANK": "0",
    }
    others = [_Process(k, overrides, run_dir, shared) for k in range(1, trainer.num_devices)]
    os.environ.update(shared | _own(0))
    is_over = threading.Event()
    threading.Thread(target=_watch, args=(others, run_dir, is_over), daemon=True).start()
    try:
        yield
        _part_company()
        for other in others:
            other.join()
    except BaseException:
        for other in others:
            other.tell()
        raise
    finally:
        is_over.set()
        for other in others:
            other.kill()
        for name in (*shared, *_own(0)):
            os.environ.pop(name, None)
        _part_company()


def _part_company() -> None:
    """Leave the group, or the next job of a sweep would take this one's."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def _are_started(strategy: ParallelStrategy) -> bool:
    environment = strategy.cluster_environment
    return environment is None or environment.creates_processes_externally


def _own(rank: int) -> dict[str, str]:
    return {"RANK": str(rank), "LOCAL_RANK": str(rank)}


class _Process:
    """One of the others, with what it writes on its screen."""

    def __init__(
        self, rank: int, overrides: Sequence[str], run_dir: Path, shared: dict[str, str]
    ) -> None:
        self.rank = rank
        self.output: IO[Any] = tempfile.TemporaryFile()  # noqa: SIM115 (kill closes it)
        arguments = [*overrides, f"hydra.run.dir={run_dir}"]
        self.process = subprocess.Popen(
            [sys.executable, str(CONF.parent / "train.py"), *arguments, "hydra/job_logging=none"],
            env=os.environ | shared | _own(rank),
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.output,
        )

    def has_failed(self) -> bool:
        return self.process.poll() not in (None, 0)

    def tell(self) -> None:
        """Log the end of what a process wrote that failed by itself."""
        if self.has_failed():
            self.output.seek(0)
            lines = self.output.read().decode(errors="replace").splitlines()[-LAST_LINES:]
            code = self.process.returncode
            log.error("process %d ended with %d:\n%s", self.rank, code, "\n".join(lines))

    def join(self) -> None:
        """Wait for its end, a while: it has nothing left to do."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.output.close()


def _watch(others: Sequence[_Process], run_dir: Path, is_over: threading.Event) -> None:
    """End this process where another has failed and it waits for that one without an end."""
    while not is_over.wait(1):
        failed = [other for other in others if other.has_failed()]
        if failed and not is_over.wait(GRACE_S):
            for other in failed:
                other.tell()
            error = f"process {failed[0].rank} ended with {failed[0].process.returncode}"
            runs.update_record(run_dir, {"status": "failed", "error": error})
            for other in others:
                other.process.kill()
            os._exit(1)


def follow() -> None:
    """End this process as soon as the one that started it is gone; it says nothing but errors."""
    logging.disable(logging.WARNING)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)

"""The processes of hydra/launcher=joblib: they stop with the command, and none ends another."""

import logging
import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides
from hydra.types import HydraContext, TaskFunction
from joblib import Parallel, cpu_count, delayed, effective_n_jobs
from joblib.externals.loky import BrokenProcessPool, ProcessPoolExecutor
from omegaconf import DictConfig

from thaw import runs
from thaw.commands.errors import ProcessEndedError
from thaw.privates.hydra_joblib import execute_job, process_joblib_cfg
from thaw.stopping import Stopped

log = logging.getLogger(__name__)
GRACE_S = 60.0
# Seconds that a process waits for a job: a search launches jobs in batches.
IDLE_S = 5
PROCESS = "the run's process"


class Workers:
    """Runs the jobs of a sweep, several at a time.

    joblib's own pool kills all of its processes when one has died or the command is interrupted.
    Here joblib distributes the jobs to threads, each with a pool of one process, which takes the
    next job as long as it lives. The ``settings`` are those of joblib.Parallel.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        hydra_context: HydraContext,
        task_function: TaskFunction,
        config: DictConfig,
    ) -> None:
        self.settings = settings | {"backend": "threading"}
        process_joblib_cfg(self.settings)
        self.context = (hydra_context, config, task_function)
        self.num_processes = effective_n_jobs(settings["n_jobs"])
        # One for each thread; None where its process is still to be started.
        self.free: SimpleQueue[ProcessPoolExecutor | None] = SimpleQueue()
        for _ in range(self.num_processes):
            self.free.put(None)
        self.at_work: set[Future[JobReturn]] = set()
        self.is_stopping = False

    def launch(self, job_overrides: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
        """The result of each job; they are numbered from ``first``.

        Raises:
            Stopped: the command is to stop; so were its jobs.
        """
        hydra = self.context[1].hydra
        configure_log(hydra.hydra_logging, hydra.verbose)
        log.info(
            "%d runs, %d at a time, in %s", len(job_overrides), self.num_processes, hydra.sweep.dir
        )
        for number, overrides in enumerate(job_overrides, first):
            log.info("\t#%d : %s", number, " ".join(filter_overrides(overrides)))
        state = Singleton.get_state()
        try:
            results: list[JobReturn] = Parallel(**self.settings)(
                delayed(self._run)(number, overrides, state)
                for number, overrides in enumerate(job_overrides, first)
            )
        except BaseException:
            self._stop()
            raise
        return results

    def _run(self, number: int, overrides: Sequence[str], state: Any) -> JobReturn | None:
        """Run a job in a process; called in a thread."""
        executor = self.free.get() or self._start()
        try:
            if self.is_stopping:
                return None
            future = executor.submit(execute_job, number, overrides, *self.context, state)
            self.at_work.add(future)
            result: JobReturn = future.result()
            return result
        except BrokenProcessPool as error:
            executor = None
            return _failed(overrides, self._after_its_end(overrides, error))
        except (Exception, Stopped) as error:
            return _failed(overrides, error)
        finally:
            self.free.put(executor)

    def _start(self) -> ProcessPoolExecutor:
        threads = os.environ.get("OMP_NUM_THREADS", max(cpu_count() // self.num_processes, 1))
        environment = {"OMP_NUM_THREADS": str(threads)}
        return ProcessPoolExecutor(
            1, timeout=IDLE_S, env=environment, initializer=_follow, initargs=(os.getpid(),)
        )

    def _stop(self) -> None:
        """Tell the processes to stop, and wait while they save their checkpoints."""
        self.is_stopping = True
        log.info("waiting for the runs to stop; a second signal ends them at once")
        end, told = time.monotonic() + GRACE_S, set()
        try:
            while time.monotonic() < end and self._is_at_work():
                for process in multiprocessing.active_children():
                    if process.pid not in told:
                        process.terminate()
                        told.add(process.pid)
                time.sleep(0.05)
        finally:
            for process in multiprocessing.active_children() if self._is_at_work() else ():
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)

    def _is_at_work(self) -> bool:
        return not all(future.done() for future in self.at_work)

    def _after_its_end(self, overrides: Sequence[str], error: Exception) -> Exception:
        """Record the end of a run whose process has died, and log how it died."""
        code = re.search(r"\((-?\d+)\)", str(error))
        if self.is_stopping or code is None:
            return error
        for path in Path(self.context[1].hydra.sweep.dir).glob(f"*/{runs.RECORD}"):
            found = runs.read_record(path.parent)
            if found.get("error") == runs.GONE and set(found["overrides"]) <= set(overrides):
                problem = ProcessEndedError(f"{path.parent}: {PROCESS}", int(code[1]))
                how = {"error": f"{PROCESS} {problem.how}", runs.SIGNAL: problem.signal_number}
                runs.update_record(path.parent, {"status": "failed"} | how)
                break
        else:  # it had not begun
            problem = ProcessEndedError(PROCESS, int(code[1]))
        log.error("%s", problem)
        return problem


def _follow(command: int) -> None:
    """Have a process stop when the command says so or is gone; called at the process's start.

    Ctrl-C reaches all processes of a terminal's group, and one that gets two signals stops at once,
    without a checkpoint: this one leaves the group.
    """
    os.setpgrp()

    def watch() -> None:
        while os.getppid() == command:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _failed(overrides: Sequence[str], error: BaseException) -> JobReturn:
    result = JobReturn(overrides=list(overrides), status=JobStatus.FAILED)
    result.return_value = error
    return result

"""Sweeps whose jobs run in processes of their own: joblib's and submitit's."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands_support import LEAST, ROOT, record
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from scaling_support import COLD, arguments, fault, rows, weights

from thaw.commands import config

Train = Callable[..., Any]


def joined(name: str) -> DictConfig:
    """hydra.launcher as ``hydra/launcher=name`` has it."""
    config.register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config.CONF), version_base="1.3"):
        cfg = compose("train", [f"hydra/launcher={name}"], return_hydra_config=True)
    cfg.hydra.mode = RunMode.MULTIRUN
    return cfg


@pytest.mark.slow
def test_joblib_runs_jobs_side_by_side_each_with_its_share_of_the_cores(
    tmp_path: Path,
) -> None:
    joblib = pytest.importorskip("joblib")
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs the extra joblib")
    jobs = ["data.batch_size=5000,100", "hydra/launcher=joblib", "sweep.name=both"]
    # Not forked, for OMP_NUM_THREADS would be what it was there; this process imports little.
    variables = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    finished = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), "-m", *LEAST, *jobs],
        cwd=tmp_path, capture_output=True, text=True, timeout=400, env=variables,
    )  # fmt: skip
    assert finished.returncode == 2, finished.stderr
    assert finished.stderr.splitlines()[-1].startswith("thaw: data.batch_size")
    sweep = tmp_path / "multirun" / "both"
    assert [path.name for path in sweep.parent.iterdir()] == ["both"]
    found = rows(sweep / "sweep.csv")
    assert sorted(row["status"] for row in found) == ["completed", "failed"]
    threads = max(joblib.cpu_count() // 2, 1)
    for path in sweep.glob("*/run.json"):
        if record(path.parent)["status"] == "completed":
            assert record(path.parent)["num_threads"] == threads


@pytest.mark.slow
def test_a_process_that_is_killed_takes_no_other_run_with_it(train: Train, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs the extra joblib")
    fault = {
        "_target_": "fault_callbacks.EndOnce", "marker": tmp_path / "sent", "of_seed": 1, "step": 3,
        "signal_number": int(signal.SIGKILL),
    }  # fmt: skip
    command = [
        "-m", *LEAST, "trainer.max_epochs=2", "seed=1,2,3", "sweep.name=sweep",
        *(f"+callbacks.fault.{key}={value}" for key, value in fault.items()),
    ]  # fmt: skip
    first = train(*command, "hydra/launcher=joblib", cwd=tmp_path)
    sweep = tmp_path / "multirun" / "sweep"
    found = {record(path.parent)["seed"]: record(path.parent) for path in sweep.glob("*/run.json")}
    how = "the run's process was ended by signal 9 (SIGKILL), out of memory?"
    assert {seed: (each["status"], each["error"]) for seed, each in found.items()} == {
        1: ("failed", how), 2: ("completed", None), 3: ("completed", None),
    }  # fmt: skip
    assert first.returncode == 1
    assert any(
        line.startswith("thaw: failed:") and line.endswith(how)
        for line in first.stderr.splitlines()
    )
    second = train(*command, cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert second.stdout.count("continuing from") == 1
    assert {row["status"] for row in rows(sweep / "sweep.csv")} == {"completed"}


@pytest.mark.slow
def test_ctrl_c_lets_every_run_save_what_it_has(train: Train, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs the extra joblib")
    fault = {
        "_target_": "scaling_faults.EndCommand", "folder": tmp_path, "of_seed": 1, "other_seed": 2,
        "signal_number": int(signal.SIGINT),
    }  # fmt: skip
    stopped = train(
        "-m", *LEAST, "trainer.max_epochs=1000", "seed=1,2,3", "hydra/launcher=joblib",
        "sweep.name=sweep", *(f"+callbacks.fault.{key}={value}" for key, value in fault.items()),
        cwd=tmp_path,
    )  # fmt: skip
    assert stopped.returncode == 130, stopped.stderr
    assert "thaw: stopped by signal 2" in stopped.stderr.splitlines()
    found = [path.parent for path in (tmp_path / "multirun" / "sweep").glob("*/run.json")]
    states = {record(run_dir)["seed"]: record(run_dir)["status"] for run_dir in found}
    assert states == {1: "interrupted", 2: "interrupted"}
    for run_dir in found:
        state = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
        assert state["global_step"] >= 2


@pytest.mark.slow
def test_a_preempted_job_is_queued_again_and_ends_as_one_never_disturbed(
    train: Train, tmp_path: Path
) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs the extra slurm")
    whole = tmp_path / "whole"
    done = train(*arguments(COLD), f"hydra.run.dir={whole}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    preempted = train(
        "-m", *arguments(COLD), *fault(signal.SIGUSR2, 9), "seed=0", "name=job",
        "hydra/launcher=submitit_local", "sweep.name=sweep",
        f"hydra.launcher.cpus_per_task={record(whole)['num_threads']}", cwd=tmp_path,
    )  # fmt: skip
    assert preempted.returncode == 0, preempted.stderr
    sweep = tmp_path / "multirun" / "sweep"
    (run_dir,) = (path.parent for path in sweep.glob("*/run.json"))
    log = (run_dir / "train.log").read_text()
    # Saved at the very step, not continued from the end of the epoch before.
    assert "continuing from" in log
    assert log.count("epoch 1/2") == log.count("epoch 2/2") == 1
    (path,) = sweep.glob(".submitit/*/*_log.out")
    text = path.read_text()
    assert "Requeued job" in text
    assert text.count("Starting with JobEnvironment") == 2
    assert "Job completed successfully" in text
    one, other = weights(whole), weights(run_dir)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert rows(run_dir / "metrics.csv") == rows(whole / "metrics.csv")
    assert record(run_dir)["final_scores"] == record(whole)["final_scores"]
    (row,) = rows(sweep / "sweep.csv")
    assert row["status"] == "completed"
    assert [path.name for path in (tmp_path / "multirun").iterdir()] == ["sweep"]


def test_slurm_is_asked_for_a_job_that_is_signalled_and_queued_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dry run: the file that submitit would hand to sbatch."""
    submitit = pytest.importorskip("submitit")
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs the extra slurm")
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher

    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    cfg = joined("submitit_slurm")
    cfg.hydra.launcher.submitit_folder = str(tmp_path / "%j")
    settings = OmegaConf.to_container(cfg.hydra.launcher, resolve=True)
    assert isinstance(settings, dict)
    target = settings.pop("_target_")
    assert target.endswith(SlurmLauncher.__name__)
    # As the launcher itself shares them out.
    folder, timeouts = settings.pop("submitit_folder"), settings.pop("max_num_timeout")
    executor = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=timeouts)
    common = OmegaConf.structured(BaseQueueConf).keys()
    executor.update_parameters(
        **{key if key in common else f"slurm_{key}": value for key, value in settings.items()}
    )
    text = executor._executor._make_submission_file_text("train", "uid")
    for line in (
        "--signal=USR2@120", "--requeue", "--time=240", "--cpus-per-task=4", "--gpus-per-node=1",
        "--ntasks-per-node=1", "--nodes=1", "--mem=16GB", "--job-name=train",
    ):  # fmt: skip
        assert f"#SBATCH {line}" in text
    assert executor._executor.max_num_timeout == 100
    assert cfg.hydra.job.env_set.OMP_NUM_THREADS == "4"


@pytest.mark.slow
def test_ray_runs_jobs_as_its_tasks(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed: needs the extra ray")
    pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="needs the extra ray")
    # Not forked: Ray's processes start anew anyway. It keeps a token in the home directory.
    finished = subprocess.run(
        [
            sys.executable, str(ROOT / "train.py"), "-m", *LEAST, "seed=1,2", "sweep.name=both",
            "hydra/launcher=ray",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=400,
        env=os.environ | {"HOME": str(tmp_path)},
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    found = rows(tmp_path / "multirun" / "both" / "sweep.csv")
    assert [(row["seed"], row["status"]) for row in found] == [(1, "completed"), (2, "completed")]


@pytest.mark.parametrize("name", ["joblib", "submitit_local", "submitit_slurm", "ray"])
def test_each_launcher_takes_every_key_of_its_file(name: str) -> None:
    package = {"joblib": "joblib", "ray": "ray"}.get(name, "submitit")
    pytest.importorskip(f"hydra_plugins.hydra_{package}_launcher", reason="not installed")
    from hydra.core.plugins import Plugins

    cfg = joined(name)
    cfg.hydra.sweep.dir = "sweep"
    launcher = Plugins.instance()._instantiate(cfg.hydra.launcher)
    assert type(launcher).__name__ == cfg.hydra.launcher._target_.rpartition(".")[2]

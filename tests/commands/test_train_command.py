"""train.py through the real command line: artefacts, resume, sweeps, errors."""

import csv
import math
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from commands_support import TINY, record
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

COLUMNS = ["epoch", "step", "train/loss", "val/loss", "val/fid", "val/is_mean", "val/is_std"]

RESTORED = ("degraded", "direct", "algorithm_1", "algorithm_2")


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_what_the_contract_names(cold_run: Path) -> None:
    assert record(cold_run)["status"] == "completed"
    table = rows(cold_run)
    assert [row["epoch"] for row in table] == ["1", "2"]
    assert list(table[0])[:4] == COLUMNS[:4]
    for row in table:
        for column in COLUMNS:
            assert math.isfinite(float(row[column]))
        assert row["val/encoder"] == "mnist-cnn-v1"
        assert row["val/sampler"] == "Cold, 5 steps, correction 0.75"
        assert float(row["val/n"]) == 20
        assert float(row["val/fid_floor"]) > 0
        assert (float(row["val/n_restored"]), row["val/restored_by"]) == (5, "Cold, 5 steps")
        for stage in RESTORED:
            rmse = float(row[f"val/rmse_{stage}"])
            assert float(row[f"val/psnr_{stage}"]) == pytest.approx(
                -20 * math.log10(rmse), rel=1e-4
            )
            assert math.isfinite(float(row[f"val/ssim_{stage}"]))
            assert float(row[f"val/fid_{stage}"]) >= 0
        assert float(row["val/fid_floor_restored"]) > float(row["val/fid_floor"])
    assert len({row["val/psnr_degraded"] for row in table}) == 1  # the same x_T in every epoch
    assert len({row["val/psnr_direct"] for row in table}) == 2
    for name in ("last", "best"):
        torch.load(cold_run / "checkpoints" / f"{name}.ckpt", weights_only=True)
    for name in ("samples/epoch_0001.png", "samples/epoch_0002.png"):
        assert Image.open(cold_run / name).getextrema() != ((0, 0),)
    assert (cold_run / "figures" / "forward_process.png").is_file()
    assert "epoch 2/2" in (cold_run / "train.log").read_text()
    assert (cold_run / ".hydra" / "config.yaml").is_file()


def test_a_run_says_at_once_what_it_is_of_and_what_is_to_be_done(cold_run: Path) -> None:
    first, second, warning = (cold_run / "train.log").read_text().splitlines()[:3]
    assert first.endswith("train       in .")
    assert second.endswith(
        f"{cold_run.name}: data mnist_5k, 4,500 training, 500 test images; model CNN, "
        f"{record(cold_run)['num_parameters']:,} parameters, LineAverage, T = 28; on cpu; to do: "
        "train to epoch 2, score 30 images, restore 20"
    )
    assert warning.endswith(
        "schedule.timesteps=20 has no effect: this degradation takes no schedule"
    )
    assert record(cold_run)["num_images"] == {"training": 4500, "test": 500}


def test_run_json_says_where_the_numbers_come_from(cold_run: Path) -> None:
    run = record(cold_run)
    assert run["seed"] == 0
    assert run["dataset"]["name"] == "mnist_5k"
    assert re.fullmatch(r"[0-9a-f]{64}", run["dataset"]["checksum"])
    assert run["versions"]["torch"] == torch.__version__.split("+")[0]
    assert run["device"] == "cpu"
    assert run["final_scores"]["final/n"] == 30
    assert sum(run["final_scores"]["final/class_histogram"]) == 30
    assert run["final_scores"]["final/fid"] > run["final_scores"]["final/fid_floor"]
    assert run["start"] <= run["end"]
    assert run["wall_time_s"] > 0


def test_a_start_that_x_T_does_not_have_is_said_at_once_and_beside_the_scores(  # noqa: N802
    hot_run: Path, cold_run: Path
) -> None:
    """Twenty steps of the betas that are meant for 1,000 keep most of the image."""
    misfit = "x_T keeps 82 % of the image's variance"
    log = (hot_run / "train.log").read_text()
    (warning,) = [line for line in log.splitlines() if "WARNING prior" in line]
    assert warning.endswith(f"normal, but {misfit}: use schedule.rescale=true or prior=gaussian")
    assert log.index(warning) < log.index("epoch 1/1")
    assert log.count(misfit) == 3  # with an epoch's scores and with the final scores
    assert rows(hot_run)[0]["val/prior"] == f"normal ({misfit})"
    images = record(hot_run)["final_scores"]["final/images"]
    assert images == f"generated from prior normal ({misfit})"
    assert rows(cold_run)[0]["val/prior"] == "empirical, real training images degraded"
    assert "x_T keeps" not in (cold_run / "train.log").read_text()


def test_the_gaussian_default_has_its_own_companions_and_tensorboard_s_files(
    hot_run: Path, cold_run: Path
) -> None:
    assert rows(hot_run)[0]["val/sampler"] == "DDIM, 5 steps"
    assert not [column for column in rows(hot_run)[0] if "psnr" in column or "restored" in column]
    assert record(hot_run)["final_scores"]["final/sampler"] == "Ancestral, 20 steps"
    assert "__data=mnist_5k__" in hot_run.name
    everything = {"scalars": 0, "images": 0, "tensors": 0}
    events = EventAccumulator(str(hot_run), size_guidance=everything)
    events.Reload()
    tags = events.Tags()
    assert [event.step for event in events.Scalars("train/loss_step")] == [1, 2, 3, 4]
    mean = sum(event.value for event in events.Scalars("train/loss_step")) / 4
    assert float(rows(hot_run)[0]["train/loss"]) == pytest.approx(mean, rel=1e-5)
    assert {"val/fid", "val/is_mean", "val/loss", "train/loss", "val_final/fid"} <= set(
        tags["scalars"]
    )
    # The tab has its groups in this order, and opens the first two.
    groups = [tag.partition("/")[0] for tag in sorted(tags["scalars"])]
    assert list(dict.fromkeys(groups)) == ["train", "val", "val_final", "wall_time"]
    assert yaml.safe_load((hot_run / "hparams.yaml").read_text())["seed"] == 0
    assert {"samples", "forward_process", "schedule"} <= set(tags["images"])
    assert "custom_scalars__config__" in tags["tensors"]

    def columns(events: EventAccumulator) -> dict[str, object]:
        content = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
        found = HParamsPluginData.FromString(content).session_start_info.hparams
        return {name: value.number_value or value.string_value for name, value in found.items()}

    hot, cold = columns(events), columns(EventAccumulator(str(cold_run)).Reload())
    assert hot.keys() == cold.keys()
    assert {"degradation", "T", "model.activation"} <= hot.keys()
    assert (hot["T"], cold["T"], cold["schedule"]) == (20, 28, "-")


def test_scores_and_grids_do_not_disturb_training(
    cold_run: Path, tmp_path: Path, fork_command
) -> None:
    run_dir = tmp_path / "plain"
    finished = fork_command(
        "train",
        *TINY,
        "degradation=column_random",
        "trainer.max_epochs=2",
        "metrics.num_samples=0",
        "metrics.final_num_samples=0",
        "metrics.num_restored_each_epoch=0",
        "callbacks.samples.at_epochs=[]",
        f"hydra.run.dir={run_dir}",
        cwd=tmp_path,
    )
    assert finished.returncode == 0, finished.stderr
    assert not (run_dir / "samples").exists()
    for plain, scored in zip(rows(run_dir), rows(cold_run), strict=True):
        assert plain == {key: scored[key] for key in plain}


def test_a_sweep_gives_a_directory_a_job_and_a_table_and_survives_a_failing_job(
    tmp_path: Path, fork_command
) -> None:
    finished = fork_command(
        "train",
        "-m",
        *TINY,
        "metrics.final_num_samples=0",
        "trainer.max_epochs=1",
        "degradation=column_random",
        "metrics.num_restored=0",
        "data.batch_size=50,5000",
        "seed=1,2",
        cwd=tmp_path,
    )
    assert finished.returncode == 2, finished.stderr
    assert finished.stderr.splitlines()[-1].startswith("thaw: data.batch_size")
    assert "Traceback" not in finished.stderr
    (table,) = tmp_path.glob("multirun/*/*/sweep.csv")
    with table.open() as file:
        jobs = list(csv.DictReader(file))
    assert [job["status"] for job in jobs] == ["completed", "completed", "failed", "failed"]
    assert all("data.batch_size=50" in job["overrides"].split() for job in jobs[:2])
    reason = finished.stderr.splitlines()[-1].removeprefix("thaw: ")
    assert [job["error"] for job in jobs] == ["", "", reason, reason]
    shown = [line for line in finished.stdout.splitlines() if " failed " in line]
    assert [line.split()[:4] for line in shown] == [
        ["data.batch_size=5000", f"seed={seed}", "failed", reason.split()[0]] for seed in (1, 2)
    ]
    fids = [float(job["val/fid"]) for job in jobs[:2]]
    assert float(jobs[0]["val/fid/mean"]) == pytest.approx(sum(fids) / 2)
    assert float(jobs[0]["val/fid/std"]) == pytest.approx(abs(fids[0] - fids[1]) / math.sqrt(2))
    assert jobs[2]["val/fid/mean"] == ""
    assert len(list(table.parent.glob("*/run.json"))) == 4
    failed = next(table.parent.glob("2_*"))
    assert (failed / "train.log").read_text().count(reason) == 1
    assert finished.stdout.count(f"job 2: {reason}") == 1  # at once
    assert "2 seeds" in finished.stdout
    assert str(table.relative_to(tmp_path)) in finished.stdout


@pytest.mark.slow  # test_bad_input.py has the same in forked processes
def test_a_bad_override_in_a_real_process(tmp_path: Path, run_command) -> None:
    finished = run_command("train", "model.activation=foo", "data=mnist_5k", cwd=tmp_path)
    assert finished.returncode == 2, finished.stderr
    assert finished.stderr.splitlines()[-1].startswith("thaw: model.activation must be one of gelu")
    (run_json,) = tmp_path.glob("outputs/*/*/run.json")
    assert record(run_json.parent)["status"] == "failed"


def test_a_missing_data_set_is_one_line_with_the_ways_out(tmp_path: Path, fork_command) -> None:
    start = time.monotonic()
    nobody = "http://127.0.0.1:9"  # stands for the network, also where there is one
    environment = {"THAW_DATA": "", "http_proxy": nobody, "https_proxy": nobody}
    finished = fork_command("train", "data.root=nowhere", cwd=tmp_path, **environment)
    assert finished.returncode == 2, finished.stderr
    assert time.monotonic() - start < 60  # 20 s on an idle machine, imports included
    for way_out in ("THAW_DATA", "nowhere", "data=mnist_5k"):
        assert way_out in finished.stderr


def test_help_and_cfg_need_neither_torch_nor_lightning(tmp_path: Path) -> None:
    script = (
        "import sys; sys.argv = ['train.py', '--cfg', 'job', 'degradation=column_random'];"
        "from thaw.commands.app import run\n"
        "try: run('train')\n"
        "except SystemExit as e: assert not e.code\n"
        "assert not {'torch', 'pytorch_lightning', 'lightning'} & set(sys.modules)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert finished.returncode == 0, finished.stderr
    assert "LineAverage" in finished.stdout
    assert not list(tmp_path.iterdir())

"""python export.py: the weights of a run to give away, with their scores and a card."""

import json
import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from thaw import runs, storage
from thaw.commands import evaluate
from thaw.commands.errors import InputError, as_input_errors
from thaw.commands.keys import check_read
from thaw.commands.selection import folders_of
from thaw.commands.trained import load_selected
from thaw.training.exports import Format, check_export, write_export
from thaw.training.hub import Hub
from thaw.training.loading import LoadedRun
from thaw.training.opening import model_in_words
from thaw.training.scoring_generated import in_words
from thaw.training.scoring_restored import in_lines
from thaw.training.weights import write_weights

log = logging.getLogger(__name__)
# Keys of run.json that say what was trained, on what, where and how long.
KEPT = (
    "name", "overrides", "seed", "versions", "dataset", "num_images", "encoder", "choices", "cpu",
    "device", "num_threads", "num_parameters", "epochs", "training_s", "init_from", "imported",
)  # fmt: skip
CARD = """# {name}

{model}; {origin}

Scores ({encoder}; a floor is what real test images score at the same N):

```
{scores}
```

`model.safetensors` holds the weights, the prior and, in its metadata, the configuration;
`run.json` what was trained, on what, and these scores. The data's SHA-256 begins {checksum}.
{network}
```
python sample.py run={folder} num_samples=64
python evaluate.py run={folder}
```
"""
TRAINED = """trained on {data} ({num_images:,} images) in {epochs} epochs, {minutes:.0f} minutes on
{machine} ({num_threads} threads), seed {seed}; the {weights} weights.

```
python train.py {overrides}
```"""
IMPORTED = """trained elsewhere and imported from {file} (SHA-256 begins {sha256:.16}), its
prior from {data} ({num_images:,} images)."""


def main(cfg: DictConfig) -> None:
    """Score each run's model, and write weights, record and card into ``out``."""
    with as_input_errors():
        selected = _selected(cfg)
        hub = None if cfg.push is None else Hub(cfg.push)
    for run, out in zip(selected, _outs(selected, cfg), strict=True):
        _export(run, out, evaluate.evaluate(run, cfg), cfg.to)
        if hub is not None:
            log.info("uploaded to %s", hub.upload(out))


def check(cfg: DictConfig) -> list[Path]:
    """Refuse what cannot be exported; the folders that would be written into."""
    return _outs(_selected(cfg, for_use=False), cfg)


def _export(run: LoadedRun, out: Path, result: dict[str, Any], to: Format) -> None:
    record = _record(run, result)
    module = run.experiment.module
    module.restorer, module.ema = run.experiment.restorer, None
    provenance = {**module.provenance, "config": {**_model_config(run), "ema": None}}
    write_weights(out / runs.WEIGHTS, module.state_dict(), provenance, run.epoch - 1)
    text = json.dumps(runs.finite(record), indent=2) + "\n"
    storage.write_atomically(out / runs.RECORD, text)
    network = write_export(to, run.experiment.restorer, run.experiment.data.image_shape, out)
    storage.write_atomically(out / "README.md", _card(run, record, result, out, network))
    log.info("written to  %s (%.1f MB)", out, (out / runs.WEIGHTS).stat().st_size / 2**20)


def _selected(cfg: DictConfig, for_use: bool = True) -> list[LoadedRun]:
    check_read(cfg)
    if cfg.out is None:
        raise InputError("out=FOLDER says where the weights are written")
    to_do = f"score {cfg.num_samples:,} images, write the weights"
    selected = load_selected(cfg, to_do, for_use)
    for run in selected:
        check_export(cfg.to, run.experiment.restorer.network)
    if cfg.push is not None and len(selected) > 1:
        raise InputError("push=USER/NAME takes one run, not several")
    return selected


def _outs(selected: list[LoadedRun], cfg: DictConfig) -> list[Path]:
    """``out``, or a folder in it for each of several."""
    if len(selected) == 1:
        return [Path(cfg.out)]
    return [Path(cfg.out) / name for name in folders_of([run.run_dir for run in selected])]


def _model_config(run: LoadedRun) -> dict[str, Any]:
    """The run's configuration as it was loaded, without the folders of this machine."""
    config: Any = OmegaConf.to_container(run.config, resolve=True)
    if "root" in config["data"]:
        config["data"]["root"] = "data"
    return dict(config)


def _record(run: LoadedRun, result: dict[str, Any]) -> dict[str, Any]:
    stored = runs.read_record(run.run_dir)
    kept = {key: stored[key] for key in KEPT if key in stored}
    config = {**(stored.get("config") or {}), **_model_config(run)}
    config.pop("logger", None)  # which names the run's directory
    scores = {f"final/{key}": value for key, value in result["generated"].items()}
    record = kept | {"status": "completed", "config": config, "weights": run.weights}
    record["final_scores"] = scores | {"epoch": run.epoch}
    if isinstance(restored := result.get("restored"), dict):
        record["restoration"] = restored | {"epoch": run.epoch}
    return record


def _card(
    run: LoadedRun, record: dict[str, Any], result: dict[str, Any], out: Path, network: str
) -> str:
    lines = [in_words(result["generated"])]
    if isinstance(restored := result.get("restored"), dict):
        lines += in_lines(restored)
    return CARD.format(
        name=out.name,
        model=model_in_words(run.experiment.restorer),
        origin=_origin(run, record),
        encoder=record["encoder"],
        scores="\n".join(lines),
        checksum=record["dataset"]["checksum"][:16],
        network=network,
        folder=out,
    )


def _origin(run: LoadedRun, record: dict[str, Any]) -> str:
    """On what, where and how it was trained, as far as that is known."""
    data = {
        "data": record["dataset"]["name"],
        "num_images": record["num_images"]["training"],
    }
    if "imported" in record:
        return IMPORTED.format(**record["imported"], **data)
    own = [text for text in record["overrides"] if not text.startswith("data.root=")]
    return TRAINED.format(
        **data,
        epochs=run.epoch,
        minutes=record["training_s"] / 60,
        machine=record["cpu"] if record["device"] == "cpu" else record["device"],
        num_threads=record["num_threads"],
        seed=record["seed"],
        weights="averaged" if run.weights == "ema" else "last",
        overrides=" ".join(own),
    )

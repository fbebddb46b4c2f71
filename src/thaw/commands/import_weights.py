"""python import_weights.py: a trained model of the study's starter as a folder of weights."""

import json
import logging
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from thaw import runs, storage
from thaw.commands.errors import InputError, as_input_errors
from thaw.commands.keys import check_read
from thaw.provenance import sample_command, versions
from thaw.training.compatibility import differing_tensors, listed
from thaw.training.experiment import Experiment, build, fit_prior, resolved
from thaw.training.opening import model_in_words, num_images
from thaw.training.starter import StarterModel, read_starter
from thaw.training.weights import write_weights

log = logging.getLogger(__name__)
CARD = """# {name}

{model}; trained elsewhere, with the study's starter code, and imported from {file}. The file does
not hold the settings of its training: those in the configuration are the study's. It has no scores.

```
python sample.py run={folder} num_samples=64
python evaluate.py run={folder}
```
"""


def main(cfg: DictConfig) -> None:
    """Build the model that the file is of, fit its prior, and write weights, record and card."""
    with as_input_errors():
        model, composed = _read(cfg)
        config, choices = _configured(cfg, model, composed)
        provenance: dict[str, Any] = {"config": resolved(config), "versions": versions()}
        experiment = _loaded(config, model, provenance)
        experiment.data.setup()
        fit_prior(experiment)
    out, data = Path(cfg.out), experiment.data
    provenance["dataset"] = data.identity
    provenance["encoder"] = experiment.suite.encoder.name if experiment.suite else "none"
    # The file does not say its epoch; -1 is the one before the first.
    write_weights(out / runs.WEIGHTS, experiment.module.state_dict(), provenance, -1)
    words = model_in_words(experiment.restorer)
    record = provenance | {
        "name": out.name,
        "status": "completed",
        "imported": model.origin,
        "overrides": [],
        "seed": config.seed,
        "choices": choices,
        "num_images": num_images(data),
        "num_parameters": sum(p.numel() for p in experiment.restorer.network.parameters()),
    }
    storage.write_atomically(out / runs.RECORD, json.dumps(runs.finite(record), indent=2) + "\n")
    card = CARD.format(name=out.name, model=words, file=model.origin["file"], folder=out)
    storage.write_atomically(out / "README.md", card)
    log.info("%s: %s, activation %s", cfg.file, words, config.model.activation)
    log.info("written to  %s", out)
    log.info("next        %s", sample_command(out, "num_samples=64"))


def check(cfg: DictConfig) -> list[Path]:
    """Refuse a file that the starter did not write; return the folder to write into."""
    model, composed = _read(cfg)
    _loaded(_configured(cfg, model, composed)[0], model, {})
    return [Path(cfg.out)]


def _read(cfg: DictConfig) -> tuple[StarterModel, DictConfig]:
    """The file, and the study's configuration for it."""
    check_read(cfg)
    for key, what in (("file", "FILE says what is imported"), ("out", "FOLDER says where to")):
        if cfg[key] is None:
            raise InputError(f"{key}={what}")
    model = read_starter(Path(cfg.file))
    given = HydraConfig.get().runtime.choices
    chosen = [f"{group}={given[group]}" for group in ("data", "prior") if given.get(group)]
    overrides = [f"experiment={model.experiment}", *chosen]
    return model, compose("train", overrides, return_hydra_config=True)


def _configured(
    cfg: DictConfig, model: StarterModel, composed: DictConfig
) -> tuple[DictConfig, dict[str, Any]]:
    """The configuration of the model, and the choices that it is composed of."""
    choices = dict(composed.hydra.runtime.choices)
    OmegaConf.set_struct(composed, False)
    composed.pop("hydra")
    values: dict[str, Any] = {
        "model": {"activation": cfg.activation},
        "data": cfg.data,
        "seed": cfg.seed,
    }
    composed.merge_with(values, {"prior": cfg.prior} if cfg.prior else {})
    if "schedule" in model.changes:
        composed.schedule, choices["schedule"] = model.changes["schedule"], "table"
    rest = {group: keys for group, keys in model.changes.items() if group != "schedule"}
    composed.merge_with(rest)
    return composed, choices


def _loaded(config: DictConfig, model: StarterModel, provenance: dict[str, Any]) -> Experiment:
    """The experiment with the file's weights."""
    experiment = build(config, provenance)
    if (shape := experiment.data.image_shape) != model.image_shape:
        sizes = (" x ".join(map(str, each)) for each in (model.image_shape, shape))
        raise ValueError("{} is for images of {}, data has {}".format(model.origin["file"], *sizes))
    network = experiment.restorer.network
    if wrong := differing_tensors(model.weights, network.state_dict()):
        raise ValueError(f"{model.origin['file']} is of another network: {listed(wrong)}")
    network.load_state_dict(model.weights)
    return experiment

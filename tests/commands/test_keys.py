"""Keys that nothing reads are refused by every command, at every level, with what was meant."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands_support import LEAST, record
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, open_dict

from thaw.commands import config
from thaw.commands.app import CONF
from thaw.commands.errors import outcome
from thaw.commands.keys import check_read


@pytest.fixture(autouse=True)
def without_hydra() -> Iterator[None]:
    yield
    HydraConfig.instance().cfg = None


def composed(command: str, *overrides: str) -> DictConfig:
    """As a job has it, what it knows of Hydra included."""
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(command, overrides=list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg


UNREAD = [
    ("train", "+optim.lr=0.1", "optim.lr: did you mean optimizer.lr?"),
    ("train", "+checkpoint.every_n_step=2", "did you mean checkpoint.every_n_steps?"),
    ("train", "+sweep.nam=x", "did you mean sweep.name?"),
    ("train", "+metrics.num_sample=1", "did you mean metrics.num_samples?"),
    ("train", "+metrics.foo=1", "metrics.foo; allowed: batch_size, encoder, every_n_epochs, "),
    ("train", "++epochs=3", "did you mean trainer.max_epochs?"),
    ("train", "+ckpt_path=x", "did you mean resume=DIR?"),
    ("train", "+a.b.c=1", "unknown key a.b.c; allowed: callbacks, "),
    ("train", "+trust=[x]", "did you mean trusted?"),
    ("train", "+hydra.swep.dir=x", "did you mean hydra.sweep.dir?"),
    ("evaluate", "+num_sample=3", "did you mean num_samples?"),
    ("evaluate", "+data.x=1", "unknown key data.x; allowed: root"),
    ("evaluate", "+resume=x", "did you mean run=DIR?"),
    ("sample", "+ckpt_path=x", "did you mean checkpoint?"),
    ("sample", "+digits=3", "did you mean digit?"),
    (
        "report",
        "+x=1",
        "unknown key x; allowed: compare, data, labels, loss, num_played, num_shown, out, paper, "
        "run, runs, title",
    ),
    ("train_encoder", "+epoch=1", "did you mean epochs?"),
]


@pytest.mark.parametrize(("command", "override", "words"), UNREAD)
def test_a_key_that_nothing_reads_is_refused(command: str, override: str, words: str) -> None:
    with pytest.raises(ValueError, match="unknown key") as error:
        check_read(composed(command, override))
    assert words in str(error.value)
    assert "+" not in str(error.value)
    # Hydra would advise to add it by a plus.
    with pytest.raises(ConfigCompositionException) as hydras:
        composed(command, override.lstrip("+"))
    code, line = outcome(hydras.value, [override], command)
    assert (code, words.split(";")[0] in line, "+" in line) == (2, True, False), line


def test_a_key_that_the_configuration_refers_to_is_read() -> None:
    check_read(composed("train", "+width=4", "model.hidden=[${width},${width}]"))
    check_read(composed("train", "+mine.place=here", "hydra.run.dir=out/${mine.place}"))
    for command in config.SCHEMAS:
        check_read(composed(command))
    check_read(composed("train", "metrics=mnist", "metrics.suite=null"))
    with pytest.raises(ValueError, match="unknown key width"):
        check_read(composed("train", "+width=4"))


@pytest.mark.parametrize(
    ("command", "override", "words"),
    [
        ("train", "checkpoint=x.ckpt", "unknown key checkpoint: did you mean resume=DIR?"),
        ("train", "lr=1", "did you mean optimizer.lr?"),
        ("train", "batch_size=1", "did you mean data.batch_size or metrics.batch_size?"),
        ("train", "degredation=blur", "did you mean degradation?"),
        ("sample", "model=unet", "sample.py takes choices of prior, sampler, sampler/grid alone"),
        ("evaluate", "data=mnist", "unknown choice of data: evaluate.py takes choices of prior"),
        ("evaluate", "sampler/grid=linspace", "sampler/grid goes with a choice of sampler"),
        ("report", "data=mnist", "report.py takes no choices"),
        ("train_encoder", "metrics=mnist", "takes choices of data, data/augment alone"),
        ("train_encoder", "model=unet", "takes choices of data, data/augment alone"),
    ],
)
def test_what_hydra_would_have_added_is_said_otherwise(
    command: str, override: str, words: str
) -> None:
    with pytest.raises(ConfigCompositionException) as error:
        composed(command, override)
    code, line = outcome(error.value, [override], command)
    assert (code, words in line, "+" in line) == (2, True, False), line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("optim:\n  lr: 1", "unknown key optim: did you mean optimizer?"),
        ("sweep:\n  nam: x", "unknown key sweep.nam: did you mean sweep.name?"),
        ("metrics:\n  num_sample: 1", "did you mean metrics.num_samples?"),
        ("epochs: 3", "in experiment/mine: unknown key epochs: did you mean trainer.max_epochs?"),
    ],
)
def test_a_key_within_an_experiment_is_refused_too(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{text}\n")
    search = f"hydra.searchpath=[file://{tmp_path}]"
    with pytest.raises((ConfigCompositionException, ValueError)) as error:
        check_read(composed("train", search, "experiment=mine"))
    assert words in outcome(error.value)[1]


@pytest.mark.parametrize(
    ("command", "argument", "line"),
    [
        ("train", "+nonsense.key=1", "unknown key nonsense.key; allowed: "),
        ("evaluate", "num_samples=1", "num_samples must be a whole number of at least 2, got 1"),
        ("sample", "split=all", "split must be one of test, val, train, got 'all'"),
        ("report", "num_shown=0", "num_shown must be a whole number of at least 1, got 0"),
        ("train_encoder", "+nonsense.key=1", "unknown key nonsense.key; allowed: "),
    ],
)
def test_every_command_refuses_it_before_any_work(
    command: str, argument: str, line: str, fork_command: Any, tmp_path: Path
) -> None:
    few = [*LEAST, "hydra.run.dir=run"] if command == "train" else []
    finished = fork_command(command, *few, argument, cwd=tmp_path)
    assert finished.returncode == 2
    assert finished.stderr.startswith(f"thaw: {line}")
    assert finished.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("*.ckpt"))
    if command == "train":
        assert record(tmp_path / "run")["status"] == "failed"


@pytest.mark.parametrize("path", sorted(CONF.glob("hydra/*/*.yaml")), ids=lambda path: path.stem)
def test_what_sets_up_a_sweep_is_read(path: Path) -> None:
    check_read(composed("train", f"hydra/{path.parent.name}={path.stem}"))

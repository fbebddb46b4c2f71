"""Freed memory is kept by every command, and not asked of the system again at each step."""

import platform
import subprocess
import sys

import pytest

STEPS, MEGABYTES = 10, 96
# More than glibc keeps by itself, whatever it has learnt. In a command's place, under its name.
LOOP = f"""
import resource, sys, types
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from thaw.commands.jobs import Job

def steps(cfg):
    for step in range(-3, {STEPS}):
        if step == 0:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.empty({MEGABYTES}, 2**18).fill_(1)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

sys.modules["thaw.commands.steps"] = module = types.ModuleType("thaw.commands.steps")
module.main = steps
HydraConfig.instance().cfg = OmegaConf.create({{"hydra": {{"job": {{"chdir": False}}}}}})
cfg = OmegaConf.create({{"run": "a_run"}})
(Job("steps") if sys.argv[1] == "command" else steps)(cfg)
"""


def pages_cleared(how: str) -> int:
    """Of ten steps, each with a tensor of its own, after some others."""
    command = [sys.executable, "-c", LOOP, how]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")
def test_the_system_is_asked_for_a_step_s_memory_once() -> None:
    # A block may be split, and be asked for once more.
    assert pages_cleared("command") < pages_cleared("plain") / 4

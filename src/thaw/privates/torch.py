"""Private names of torch."""

from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter


def set_recompile_limit(limit: int) -> None:
    """How many versions of a function ``torch.compile`` keeps before it gives up.

    Missing: a parameter of torch.compile; ``torch.compiler`` has no such setting.
    """
    torch._dynamo.config.recompile_limit = limit


def add_summary(writer: SummaryWriter, summary: Any) -> None:
    """Write a protobuf summary into an event file.

    Missing: a public way to write one that is composed by hand; ``add_hparams`` opens a file of its
    own.
    """
    writer._get_file_writer().add_summary(summary)

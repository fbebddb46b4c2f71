"""Private names of torch's writer for TensorBoard."""

from typing import Any

from torch.utils.tensorboard import SummaryWriter


def add_summary(writer: SummaryWriter, summary: Any) -> None:
    """Write a protobuf summary into an event file.

    Missing: a public way to write one that is composed by hand; ``add_hparams`` opens a file of its
    own.
    """
    writer._get_file_writer().add_summary(summary)

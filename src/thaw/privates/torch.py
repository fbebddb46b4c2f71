"""Private names of torch."""

import torch


def set_recompile_limit(limit: int) -> None:
    """How many versions of a function ``torch.compile`` keeps before it gives up.

    Missing: a parameter of torch.compile; ``torch.compiler`` has no such setting.
    """
    torch._dynamo.config.recompile_limit = limit

"""How large a network may be, looked at before anything of it is made."""

# 4 GiB in single precision, and Adam keeps three times as much beside it.
MAX_PARAMETERS = 2**30
# Of one image forth: minutes on a CPU core.
MAX_OPERATIONS = 10**13


def check_cost(keys: str, num_parameters: int, num_operations: int) -> None:
    """Refuse a network that no machine would hold, or that would not end its first step.

    Args:
        keys: of the configuration, that make it so large.
        num_parameters: weights.
        num_operations: multiplications and additions, for one image.

    Raises:
        ValueError: naming the keys and the limit.
    """
    for what, count, limit in (
        ("weights", num_parameters, MAX_PARAMETERS),
        ("operations an image", num_operations, MAX_OPERATIONS),
    ):
        if count > limit:
            raise ValueError(
                f"{keys} and the size of the images make a network of about {count:.2g} {what}; "
                f"thaw takes up to {limit:.2g}"
            )

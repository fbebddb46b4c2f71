"""The space of a search: Optuna's distributions from overrides, or from Optuna's own form."""

from collections.abc import Iterable, Mapping
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep, Transformer
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from thaw.commands.errors import InputError, one_line

Space = dict[str, BaseDistribution]


def divided(
    settings: Iterable[str], loader: ConfigLoader | None = None
) -> tuple[Space, dict[str, str]]:
    """The keys that are searched and those that are fixed; the last setting of a key counts.

    Raises:
        InputError: a range is empty, or cannot be searched.
    """
    parser = OverridesParser.create(config_loader=loader)
    given = {each.get_key_element(): each for each in parser.parse_overrides(list(settings))}
    fixed = {
        key: each.get_value_element_as_str()
        for key, each in given.items()
        if not each.is_sweep_override()
    }
    space: Space = {}
    for key in given.keys() - fixed.keys():
        try:
            space[key] = distribution(given[key])
        except ValueError as error:
            raise InputError(f"{key}: {one_line(error)}") from None
    return {key: space[key] for key in given if key in space}, fixed


def distribution(override: Override) -> BaseDistribution:
    """What ``interval``, ``range``, ``choice``, ``glob`` or a list without brackets stands for."""
    value = override.value()
    if isinstance(value, IntervalSweep):
        is_whole = isinstance(value.start, int) and isinstance(value.end, int)
        kind = IntDistribution if is_whole else FloatDistribution
        return kind(value.start, value.end, log="log" in value.tags)  # type: ignore[arg-type]
    values: list[Any] = list(override.sweep_iterator(Transformer.encode))
    if not values:
        raise ValueError("there is nothing to choose from")
    if isinstance(value, RangeSweep) and not value.shuffle:
        kind = IntDistribution if all(isinstance(k, int) for k in values) else FloatDistribution
        return kind(min(values), max(values), step=abs(value.step))  # type: ignore[arg-type]
    return CategoricalDistribution(values)


def of_optuna(key: str, node: Mapping[str, Any]) -> BaseDistribution:
    """What ``hydra.sweeper.search_space`` has for a key: its type, then Optuna's arguments."""
    kinds = {
        "categorical": CategoricalDistribution, "int": IntDistribution, "float": FloatDistribution
    }  # fmt: skip
    settings = {name: value for name, value in node.items() if name != "type"}
    try:
        found: BaseDistribution = kinds[node["type"]](**settings)
    except KeyError:
        kind = f"type must be one of {', '.join(kinds)}, got {node.get('type')!r}"
        raise InputError(f"hydra.sweeper.search_space.{key}: {kind}") from None
    except (TypeError, ValueError) as error:
        raise InputError(f"hydra.sweeper.search_space.{key}: {one_line(error)}") from None
    return found

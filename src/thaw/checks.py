"""Constraints stand in a signature, in the words of annotated-types, and are checked here.

    @checked
    def __init__(self, sigma: Annotated[float, Gt(0)], order: Literal["random", "fixed"]) -> None:

A constructor called directly names the parameter (``sigma must be a number above 0, got -1``);
whoever builds an object from a configuration checks its values first, by :func:`constraints_of`,
and names the whole key. What concerns two parameters is a plain ``ValueError`` of the constructor.
"""

import functools
import inspect
import math
import operator
import reprlib
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, is_dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from annotated_types import Ge, GroupedMetadata, Gt, Interval, Le, Lt, MaxLen, MinLen

F = TypeVar("F", bound=Callable[..., Any])

# torch and Lightning count in 64 bits.
LARGEST_WHOLE = 2**63 - 1

Count = Annotated[int, Ge(1)]
Share = Annotated[float, Interval(ge=0, le=1)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
# What every library takes for a seed.
Seed = Annotated[int, Interval(ge=0, le=2**32 - 1)]

# What each bound asks of a value, and its words.
BOUNDS: Mapping[type, tuple[Callable[[Any, Any], bool], str]] = {
    Gt: (operator.gt, "above {}"),
    Ge: (operator.ge, "of at least {}"),
    Lt: (operator.lt, "below {}"),
    Le: (operator.le, "of at most {}"),
    MinLen: (lambda value, fewest: len(value) >= fewest, "of at least {}"),
    MaxLen: (lambda value, most: len(value) <= most, "of at most {}"),
}

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80
_short.maxlevel = 3


def shown(value: object) -> str:
    """A value as it stands in a message: whole where it is short."""
    return " ".join(_short.repr(value).split())


def check(name: str, value: object, annotation: Any) -> None:
    """Refuse a value that is not of the annotated kind: ``NAME must be ..., got ...``, in one line.

    Kinds are ``bool``, ``str``, ``int`` or ``float`` (finite; true and false are no numbers), a
    class, ``None``, a ``Literal``, a ``Sequence``, a union of these, each perhaps ``Annotated``
    with ``Gt``, ``Ge``, ``Lt``, ``Le``, ``Interval`` or ``Len``. What is annotated in another way
    passes.
    """
    if not _fits(value, annotation):
        raise ValueError(f"{name} must be {in_words(annotation)}, got {shown(value)}")


def check_fields(schema: type, values: Mapping[str, Any], at: str = "") -> None:
    """Refuse a value that its field of a dataclass does not allow; absent fields pass.

    OmegaConf takes the types of a schema from the same annotations and reads neither ``Literal``
    nor a schema for ``Any``; these stand behind the type that it reads:
    ``Annotated[str, Literal["a", "b"]]``, ``Annotated[Any, OtherSchema]``.
    """
    for name, annotation in annotations(schema).items():
        if name not in values:
            continue
        inner = schema_of(annotation)
        if inner is None:
            check(at + name, values[name], annotation)
        elif isinstance(values[name], Mapping):
            check_fields(inner, values[name], f"{at}{name}.")
        else:
            raise ValueError(f"{at}{name} must hold keys and values, got {shown(values[name])}")


def annotations(schema: type) -> dict[str, Any]:
    """The annotation of each field of a dataclass, constraints included."""
    return get_type_hints(schema, include_extras=True)


def schema_of(annotation: Any) -> type | None:
    """The dataclass that a field is annotated with; None where it is a single value."""
    kind, _ = _parts(annotation)
    return kind if isinstance(kind, type) and is_dataclass(kind) else None


def checked(function: F) -> F:
    """Have a constructor or function check its arguments against its annotations.

    Above a dataclass it is for the constructor. Its errors are those of :func:`check`.
    """
    if inspect.isclass(function):
        function.__init__ = checked(function.__init__)  # type: ignore[method-assign]
        return function
    signature = inspect.signature(function)

    @functools.cache
    def constraints() -> dict[str, Any]:
        return get_type_hints(function, include_extras=True)

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            if name in constraints():
                check(name, value, constraints()[name])
        return function(*args, **kwargs)

    wrapper.constraints = constraints  # type: ignore[attr-defined]
    return wrapper  # type: ignore[return-value]


def constraints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a :func:`checked` function, or class whose constructor is; else empty."""
    function = function.__init__ if inspect.isclass(function) else function
    found: dict[str, Any] = getattr(function, "constraints", dict)()
    return found


def _fits(value: object, annotation: Any) -> bool:
    kind, bounds = _parts(annotation)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return any(_fits(value, each) for each in arguments)
    if origin is Literal:
        return any(type(value) is type(each) and value == each for each in arguments)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        if not is_list or not all(_fits(entry, arguments[0]) for entry in value):  # type: ignore[attr-defined]
            return False
    elif not _is_a(value, origin or kind):
        return False
    return all(BOUNDS[type(bound)][0](value, *astuple(bound)) for bound in bounds)


def _is_a(value: object, kind: Any) -> bool:
    if kind in (None, types.NoneType):
        return value is None
    if kind is Any:
        return True
    if kind is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and math.isfinite(value)  # type: ignore[arg-type]
    if kind is int:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        return is_whole and abs(value) <= LARGEST_WHOLE  # type: ignore[arg-type]
    return not isinstance(kind, type) or isinstance(value, kind)


def _parts(annotation: Any) -> tuple[Any, list[Any]]:
    """The bare type (the last one, where another is annotated), and its bounds one by one."""
    if get_origin(annotation) is not Annotated:
        return annotation, []
    kind, *metadata = get_args(annotation)
    bounds: list[Any] = []
    for each in metadata:
        if isinstance(each, type) or get_origin(each) is not None:
            kind, bounds = _parts(each)
        else:
            bounds += each if isinstance(each, GroupedMetadata) else [each]
    return kind, [bound for bound in bounds if type(bound) in BOUNDS]


def in_words(annotation: Any) -> str:
    """What is allowed: ``a whole number from 1 to 10 or null``."""
    kind, bounds = _parts(annotation)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        # Sorted: typing keeps whichever order of a union it has seen first.
        each = sorted(map(in_words, arguments))
        return " or ".join(sorted(each, key=lambda words: (words == "null", words[:2] != "a ")))
    if origin is Literal:
        one_of = "one of " if len(arguments) > 1 else ""
        return one_of + ", ".join(dict.fromkeys(map(_of_yaml, arguments)))
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"a list{_range(bounds)}, each entry {in_words(arguments[0])}"
    if kind in (None, types.NoneType):
        return "null"
    words = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}
    name = getattr(kind, "__name__", str(kind))
    article = "an" if name[0] in "AEIOU" else "a"
    return words.get(kind, f"{article} {name}") + _range(bounds)


def _of_yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _range(bounds: Sequence[Any]) -> str:
    """`` from 0 to 1``, `` above 0 and below 1``, `` of 2``, or nothing."""
    match bounds:
        case [Ge(low), Le(high)]:
            return f" from {low} to {high}"
        case [MinLen(fewest), MaxLen(most)]:
            return f" of {fewest}" if fewest == most else f" of {fewest} to {most}"
    words = [BOUNDS[type(bound)][1].format(*astuple(bound)) for bound in bounds]
    return " " + " and ".join(words) if words else ""

"""A frozen dataclass with some of its fields replaced, by a user's settings or a TOML file.

In: a dataclass that is known by name, and values for some of its fields. Out: a copy with these
values, each of its field's type. A variant and a layout of one's own are made this way.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from kit.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    T = TypeVar("T", bound=DataclassInstance)
else:
    T = TypeVar("T")


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def from_toml(path: Path, known: Mapping[str, T]) -> T:
    """What a TOML file describes: `base = "<a key of known>"`, and the fields that differ.

    Its name is that of the file, unless the file gives another.

    Raises:
        InputError: the file is not readable, has no known base, or sets a field that does not exist
            or a value of the wrong type.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        remedy = f'write it, beginning with base = "...", or name one of {", ".join(known)}'
        raise InputError(path, "no such file", remedy=remedy) from None
    except OSError as error:
        problem, remedy = f"cannot be read ({error.strerror})", "give a TOML file that may be read"
        raise InputError(path, problem, remedy=remedy) from None
    except (ValueError, RecursionError) as error:
        remedy = f'write each field on a line of its own, as in base = "{next(iter(known))}"'
        raise InputError(path, f"not readable as TOML ({error})", remedy=remedy) from None
    base = values.pop("base", None)
    if not isinstance(base, str) or base not in known:
        remedy = f'start it with base = "...", one of {", ".join(known)}'
        raise InputError(path, f"base is {base!r}", remedy=remedy)
    return overlay(known[base], {"name": path.stem} | values, path)


def overlay(base: T, values: Mapping[str, Any], where: str | Path) -> T:
    """A copy of `base` with some fields replaced, each checked against its type.

    Integers are admitted for floats, and lists for tuples. Which values of the right type a field
    may have is for the dataclass to check.

    Args:
        base: the dataclass to copy.
        values: the new values, by field.
        where: what an error names as the place of the values.

    Raises:
        InputError: a field that does not exist, or a value of the wrong type.
    """
    hints = get_type_hints(type(base))
    if unknown := next((field for field in values if field not in hints), None):
        remedy = f"{did_you_mean(unknown, hints)}the fields are {', '.join(hints)}"
        raise InputError(where, f"no field called {unknown!r}", remedy=remedy)
    return replace(base, **{k: _converted(k, v, hints[k], where) for k, v in values.items()})


def _converted(field: str, value: Any, hint: Any, where: str | Path) -> Any:
    for number in value if isinstance(value, list | tuple) else [value]:
        if isinstance(number, int) and number.bit_length() > 64:
            problem = f"{field} is a number of {number.bit_length()} bits"
            raise InputError(where, problem, remedy="it must fit into 64 bits")
    if get_origin(hint) is tuple:
        return _numbers(field, value, get_args(hint), where)
    if hint is float and type(value) is int:
        return float(value)
    if hint in (bool, int, float, str) and type(value) is not hint:
        raise InputError(where, f"{field} is {value!r}", remedy=f"it must be {_KINDS[hint]}")
    return value


def _numbers(field: str, value: Any, kinds: Sequence[Any], where: str | Path) -> tuple[Any, ...]:
    """A tuple of numbers of one kind: as many as its type names, or with `...` any number."""
    kind, any_length = kinds[0], kinds[-1] is ...
    listed = list(value) if isinstance(value, list | tuple) else None
    admitted = (int,) if kind is int else (int, float)
    if (
        listed is None
        or not (any_length or len(listed) == len(kinds))
        or any(type(number) not in admitted for number in listed)
    ):
        example = "[5, 15]" if kind is int else "[0.5, 0.999]"
        raise InputError(where, f"{field} is {value!r}", remedy=f"write it as {example}")
    return tuple(map(kind, listed))

"""What each field of a variant may be, by its type and its name, whatever the other fields are.

In: a field and its value. Out: what is allowed, in words, where the value is not.
"""

import math
import re
from functools import cache
from typing import Any, Literal, get_args, get_origin

NAME_LIMIT = "1 to 100 letters, digits, _, - and dots"
LARGEST_BOX = 255  # pixels along a side: what a tile of 256 has around its middle
_MAY_BE_ZERO = (
    "gan", "l1", "decay_epochs", "weight_decay", "validations", "patience", "ends_after", "seed",
    "clip", "ema",
)  # fmt: skip
_AT_MOST = {
    # A million epochs of a single step take days.
    "epochs": 10**6,
    "decay_epochs": 10**6,
    # torch takes 64 bits.
    "seed": 2**64 - 1,
    "folds": 100,
    "radar_dates": 100,
    "trees": 10**4,
    # Nodes of a tree, of which there are twice as many, are counted in 16 bits.
    "leaves": 2**14,
}
_AT_LEAST = {"leaves": 2}


def allowed(field: str, kind: Any, value: Any) -> str:
    """What `field`, of the type `kind`, may be, where `value` is something else; "" if it is not.

    Args:
        field: of a variant.
        kind: its type, as `typing.get_type_hints` gives it.
        value: of that type.
    """
    if kind in (int, float):
        return _of_number(field, kind, value)
    if known := _known(kind):
        fits = (type(value), value) in known
        return "" if fits else f"one of {', '.join(repr(each) for _, each in known)}"
    if kind is bool and type(value) is not bool:
        return "true or false"
    if field == "name" and not is_name(value):
        return f"{NAME_LIMIT}: it names a folder"
    if field == "betas" and not all(0 <= beta < 1 for beta in value):
        return "two numbers from 0 to below 1"
    if field == "boxes" and not _are_sides(value):
        return f"odd numbers from 3 to {LARGEST_BOX}, each once"
    return ""


def is_name(text: str) -> bool:
    """Whether a text may name a run or an ensemble, and so a folder or a file."""
    return re.fullmatch(r"\w[\w.-]{,99}", text) is not None


@cache
def _known(kind: Any) -> tuple[tuple[type, Any], ...]:
    """The values of a Literal, each with its type, for True is 1; none of another type."""
    values = get_args(kind) if get_origin(kind) is Literal else ()
    return tuple((type(each), each) for each in values)


def _of_number(field: str, kind: type, value: float) -> str:
    if not math.isfinite(value):
        return "a finite number"
    if field in _MAY_BE_ZERO:
        if value < 0:
            return "zero or more"
    elif value < 1e-12:
        return "above zero"
    if value < (least := _AT_LEAST.get(field, value)):
        return f"{least} or more"
    if kind is int and value > (most := _AT_MOST.get(field, 10**12)):
        return f"at most {most:,}"
    if field == "ema" and value >= 1:
        return "from 0 to below 1"
    return ""


def _are_sides(boxes: tuple[int, ...]) -> bool:
    each = all(side % 2 and 3 <= side <= LARGEST_BOX for side in boxes)
    return each and len(set(boxes)) == len(boxes)

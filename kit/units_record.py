"""The record of units that travels with tiles, pairs and weights, in words.

In: a record. Out: a text for messages.
"""

from collections.abc import Mapping
from typing import Any

UnitsRecord = dict[str, Any] | None
"""What `kit.sources.units` records of tiles; None for dB and DN."""
_RANGES = ("vv_range", "vh_range", "dn_range")


def is_units_record(value: object) -> bool:
    """Whether a value of a file is such a record: two units, and ranges of two numbers."""
    if value is None:
        return True
    if not isinstance(value, dict) or not {"radar", "optical"} <= value.keys():
        return False
    units = [value["radar"], value["optical"]]
    ranges = [value[name] for name in _RANGES if name in value]
    return all(isinstance(unit, str) for unit in units) and all(map(_is_range, ranges))


def units_text(record: Mapping[str, Any] | None) -> str:
    """A record of units in words."""
    if not record:
        return "dB and DN"
    words = [f"radar {record['radar']}, optical {record['optical']}"]
    for name in _RANGES:
        if name in record:
            low, high = record[name]
            words.append(f"{name.replace('_', ' ')} {low:g}..{high:g}")
    return ", ".join(words)


def units_apart(
    record: Mapping[str, Any] | None, other: Mapping[str, Any] | None
) -> tuple[str, str]:
    """Two records that differ, in words: the one sensor whose unit does, or else all of both.

    Of radar images that are to be predicted the rest is as the weights were trained.
    """
    both = [found or {"radar": "dB", "optical": "DN"} for found in (record, other)]
    sensors = [each for each in ("radar", "optical") if both[0][each] != both[1][each]]
    if len(sensors) != 1:
        return units_text(record), units_text(other)
    first, second = (f"{sensors[0]} {found[sensors[0]]}" for found in both)
    return first, second


def _is_range(value: object) -> bool:
    numbers = value if isinstance(value, list) else []
    return len(numbers) == 2 and all(map(_is_number, numbers))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < 2**63

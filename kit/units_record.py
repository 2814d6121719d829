"""The record of units that travels with tiles, pairs and weights, in words.

In: a record. Out: a text for messages.
"""

from collections.abc import Mapping
from typing import Any

UnitsRecord = dict[str, Any] | None
"""What `kit.sources.units` records of tiles; None for dB and DN."""


def units_text(record: Mapping[str, Any] | None) -> str:
    """A record of units in words."""
    if not record:
        return "dB and DN"
    words = [f"radar {record['radar']}, optical {record['optical']}"]
    for name in ("vv_range", "vh_range", "dn_range"):
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

"""The record of units that travels with tiles, pairs and weights, in words.

In: what `kit.sources.units` records, None for dB and DN. Out: a text for messages.
"""

from collections.abc import Mapping
from typing import Any


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

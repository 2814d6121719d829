"""The pixel counts of scenes in `work/screen/`, which stay until a tile or the rule changes."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from kit.errors import InputError
from kit.screening.measure import SCHEMA as MEASURES
from kit.screening.parts import Kind, PartFiles, Row, read_facts, read_part_file
from kit.screening.rule import CloudRule

SCREEN = "screen"  # in the work folder
_NAME = "rule"
# Kits before 0.4.0 read no floats, and those before 0.6.0 did not say which have 16 bits.
_LATER = frozenset({"floats", "float16"})


def store(work: Path, rule: CloudRule) -> PartFiles:
    """The parts that are measured by a rule, and what earlier rows that leaves valid."""
    noted = asdict(rule) | {"threshold": rule.threshold_milli}

    def still_valid(row: Row, other: Mapping[str, Any]) -> Row | None:
        if row["sensor"] == "Sentinel1" or other == noted:
            return row
        # Without a pixel above the threshold there is no cloud, whatever its least area.
        if other["scale"] == rule.scale and row["peak"] <= rule.threshold_milli:
            return row | {"cloud": 0}
        return None

    return PartFiles(work / SCREEN, Kind(_NAME, MEASURES, noted, still_valid, _LATER))


def read_part(path: Path, columns: list[str] | None = None) -> pa.Table:
    """The rows of a part, or some of their columns; where an earlier kit wrote none, they are null.

    Raises:
        InputError: the part is missing or damaged.
    """
    return read_part_file(path, MEASURES, _LATER, columns)


def read_rule(path: Path) -> CloudRule:
    """The cloud rule that a part was measured by.

    Raises:
        InputError: the part is missing or damaged.
    """
    facts = read_facts(path, _NAME, MEASURES, _LATER)
    if not facts:
        read_part(path, [])
        raise InputError(path, "damaged: it says no rule", remedy="run the same command again")
    rule = facts[_NAME]
    return CloudRule(**rule | {"threshold": rule["threshold"] / 1000})

"""`source.json`: what the tiles of a folder were made of.

In: a folder of tiles, or one in it. Out: its record; nothing where they are official ones. Refused:
a record that is damaged.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.errors import InputError
from kit.storage.seal import read_record, write_record
from kit.units_record import UnitsRecord, is_units_record

SOURCE = "source.json"
_FORMAT = 1
_REMEDY = "run kit prepare DATA again"


def read_tile_units(tiles: Path) -> UnitsRecord:
    """The record of units of a folder of tiles; None where they hold dB and DN.

    Raises:
        InputError: the record of the source is damaged.
    """
    found: UnitsRecord = read_source(tiles).get("units")
    return found


def read_origin(tiles: Path) -> Path | None:
    """The folder whose images tiles were made of, if they were; raises as `read_tile_units`."""
    found = read_source(tiles).get("data")
    return Path(found) if isinstance(found, str) else None


def read_source(tiles: Path) -> dict[str, Any]:
    """The record that is nearest to a folder of tiles; raises as `read_tile_units`."""
    for path in (tiles / SOURCE, tiles.parent / SOURCE):
        if path.exists():
            return read_source_file(path)
    return {}


def read_source_file(path: Path) -> dict[str, Any]:
    """The record in one file, finished or not; raises as `read_tile_units`."""
    found = read_record(path, _FORMAT, _REMEDY)
    if not (is_units_record(found.get("units")) and isinstance(found.get("recipe") or {}, dict)):
        raise InputError(path, "damaged: its units or its recipe are none", remedy=_REMEDY)
    return found


def write_source_file(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record, sealed.

    Raises:
        OutputError: it cannot be written.
    """
    write_record(path, _FORMAT, record)

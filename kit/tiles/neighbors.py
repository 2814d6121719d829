"""The tile of another band of a scene, where it lies beside one that is known.

In: a tile that the catalogue has, and a band that it does not list. Out: the file of that band in
the same folder, or the plane of the same NetCDF file, if there is one.
"""

import os
from dataclasses import replace
from pathlib import Path

from kit.errors import InputError
from kit.tiles.names import SUFFIXES, name_fields
from kit.tiles.netcdf import Plane, read_head


def neighbor(file: str | Path | Plane, band: str) -> str | Plane | None:
    """The tile of `band` of the scene that `file` is of; None if there is none beside it.

    Raises:
        InputError: `file` is a path without a tile's name.
    """
    if isinstance(file, Plane):
        return replace(file, band=band) if band in _bands(file) else None
    folder, name = os.path.split(os.fspath(file))
    sensor, _, lon, lat, day, suffix = name_fields(name)
    for end in (suffix, *(other for other in SUFFIXES if other != suffix)):
        path = os.path.join(folder, f"{sensor}_{band}_{lon}_{lat}_{day}{end}")
        if os.path.lexists(path):
            return path
    return None


def _bands(plane: Plane) -> tuple[str, ...]:
    """The bands of a plane's file; none where it cannot be read, which its reader will say."""
    try:
        return tuple(read_head(plane.file).bands)
    except InputError:
        return ()

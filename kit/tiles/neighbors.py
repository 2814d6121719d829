"""The tile of another band of a scene, where it lies beside one that is known.

In: a tile that the catalogue has, and a band that it does not list. Out: the file of that band in
the same folder; or its plane in the same NetCDF file, or in another of the same folder, as the
edition of 2023 divides the bands of Sentinel-2.
"""

import os
from dataclasses import replace
from functools import lru_cache

from kit.errors import InputError
from kit.tiles.names import SUFFIXES, name_fields
from kit.tiles.netcdf import SUFFIX, File, Plane, read_head, read_places
from kit.tiles.netcdf_file import Place


def neighbor(file: File, band: str) -> str | Plane | None:
    """The tile of `band` of the scene that `file` is of; None if there is none beside it.

    Raises:
        InputError: `file` is a path without a tile's name.
    """
    if isinstance(file, Plane):
        return _plane(file, band)
    folder, name = os.path.split(os.fspath(file))
    sensor, _, lon, lat, day, suffix = name_fields(name)
    for end in (suffix, *(other for other in SUFFIXES if other != suffix)):
        path = os.path.join(folder, f"{sensor}_{band}_{lon}_{lat}_{day}{end}")
        if os.path.lexists(path):
            return path
    return None


def _plane(plane: Plane, band: str) -> Plane | None:
    folder = os.path.dirname(plane.file)
    bands = _bands_of(folder, os.stat(folder).st_mtime_ns)
    for file in (plane.file, *(other for other in bands if other != plane.file)):
        if (plane.sensor, band) not in bands.get(file, ()):
            continue
        if file == plane.file:
            return replace(plane, band=band)
        index = _indices(file, os.stat(file).st_mtime_ns).get(plane.place)
        if index is not None:
            return Plane(file, plane.sensor, band, plane.place, index)
    return None


@lru_cache(maxsize=4)
def _bands_of(folder: str, changed: int) -> dict[str, set[tuple[str, str]]]:
    """Sensor and bands of each NetCDF file of a folder; a catalogue names those that it skips."""
    found = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(SUFFIX):
            path = os.path.join(folder, name)
            try:
                head = read_head(path)
            except InputError:
                continue
            found[path] = {(head.sensor, band) for band in head.bands}
    return found


@lru_cache(maxsize=4)
def _indices(file: str, changed: int) -> dict[Place, int]:
    """Where each place and date of a file is, first of those that it has twice."""
    found: dict[Place, int] = {}
    for index, place in enumerate(read_places(file)):
        if not isinstance(place, InputError):
            found.setdefault(place, index)
    return found

"""The pixels of an image of a source, by the kit's bands, and the tiles that they become.

In: an image, and what its definition says of its bands. Out: its bands in the unit of the source;
tiles in dB and DN. A file that is a tile already is linked and not copied.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.sources.definition import Definition
from kit.sources.image import Header, read_bands, read_header
from kit.sources.listing import Image
from kit.sources.units import SourceUnits, to_db, to_dn
from kit.storage.files import together
from kit.tiles.names import RGB_BANDS, S1_BANDS
from kit.tiles.raster import Grid
from kit.tiles.tiff import encode_tiff

WANTED = {"radar": S1_BANDS, "optical": RGB_BANDS}
_KEPT = {"radar": "float32", "optical": "uint16"}
_NATIVE = {"radar": "dB", "optical": "DN"}


def first_header(data: Path, image: Image) -> Header:
    """The header of one file of an image.

    Raises:
        InputError: it cannot be read.
    """
    return read_header(data / next(iter(image.files.values())))


def read_image(data: Path, image: Image, definition: Definition) -> tuple[NDArray[Any], Header]:
    """The bands [bands, H, W] in the order of `WANTED`, as `kit.sources.image.read_bands` has them.

    Raises:
        InputError: a file cannot be read, a band is missing, bands differ in size or place, or a
            file says that its bands are in another order.
    """
    side, wanted = definition.side(image.sensor), WANTED[image.sensor]
    if not side.by_name:
        path = data / image.files[""]
        header = read_header(path)
        if side.count and header.count != side.count:
            remedy = "say its count and bands in a source of your own, or leave the file out"
            raise InputError(path, f"has {header.count} bands, not {side.count}", remedy=remedy)
        if not side.bands:
            return _by_count(path, header)
        positions = [int(side.bands[band]) for band in wanted]
        pixels, header = read_bands(path, positions)
        _check_order(path, header, wanted, positions)
        return pixels, header
    bands, first = [], None
    for band in wanted:
        name = str(side.bands[band])
        if name not in image.files:
            raise InputError(image.name, f"has no {name}", remedy=f"{band} is needed: fetch it too")
        path = data / image.files[name]
        pixels, header = read_bands(path, [1])
        first = first or header
        if (header.height, header.width) != (first.height, first.width):
            size = f"{header.height}x{header.width}"
            problem = f"is {size} where its first band is {first.height}x{first.width}"
            raise InputError(path, problem, remedy="resample its bands to one size")
        if header.grid and first.grid:
            problem = header.grid.mismatch(first.grid, header.height, header.width)
            if problem:
                raise InputError(path, problem, remedy="warp its bands onto one grid")
        bands.append(pixels[0])
    assert first
    return np.stack(bands), first


def _by_count(path: Path, header: Header) -> tuple[NDArray[Any], Header]:
    """VV and VH of a picture of one or two bands, or of three that are equal: a grey one."""
    pixels, header = read_bands(path, range(1, header.count + 1))
    if header.count == 2:
        return pixels, header
    if not all(np.array_equal(band, pixels[0], equal_nan=True) for band in pixels):
        problem = f"has {header.count} bands that differ, which no radar image has"
        remedy = (
            "say which are VV and VH by bands in a source of your own; or the folders of radar "
        )
        raise InputError(path, problem, remedy=remedy + "and optical images are exchanged")
    return pixels[[0, 0]], header


def _check_order(path: Path, header: Header, wanted: Sequence[str], positions: list[int]) -> None:
    """Refuse a file that names its bands, and has another name where a band should be."""
    for band, position in zip(wanted, positions, strict=True):
        name = header.names[position - 1].upper().replace("B0", "B")
        others = [other for other in wanted if other != band]
        if name in others:
            problem = f"calls its band {position} {name}, where the source expects {band}"
            raise InputError(path, problem, remedy="correct the positions in the source's bands")


def link_files(image: Image, definition: Definition, units: SourceUnits) -> dict[str, str] | None:
    """The file of each band if the files may be tiles as they are; None if they are converted."""
    side = definition.side(image.sensor)
    ranges = (units.vv, units.vh) if image.sensor == "radar" else (units.dn,)
    unit = units.radar if image.sensor == "radar" else units.optical
    if not side.by_name or any(ranges) or unit != _NATIVE[image.sensor]:
        return None
    return {band: image.files.get(str(side.bands[band]), "") for band in WANTED[image.sensor]}


def is_tile(image: Image, header: Header) -> bool:
    """Whether a file of this kind holds what a tile does."""
    return header.driver == "GTiff" and header.count == 1 and header.dtype == _KEPT[image.sensor]


def convert(sensor: str, pixels: NDArray[Any], units: SourceUnits) -> NDArray[Any]:
    """dB or DN of the bands of an image."""
    return to_db(pixels, units) if sensor == "radar" else to_dn(pixels, units)


def write_tiles(
    files: Mapping[str, NDArray[Any]], folder: Path, grid: Grid | None, changed: int
) -> dict[Path, bytes]:
    """Write bands [H, W] of an image under their names, as old as its file, in ns; returns bytes.

    They appear complete, all of them, or not at all.

    Raises:
        OutputError: they cannot be written.
    """
    written = {}
    with together(folder) as new:
        for name, pixels in files.items():
            part = new(name)
            written[folder / name] = encode_tiff(pixels[None], grid)
            part.write_bytes(written[folder / name])
            os.utime(part, ns=(changed, changed))
    return written

"""The official tile: one band of one sensor at one place and date, as its name says.

In: a file name, or the path of a TIFF, or the name of a plane in a NetCDF file. Out: a `TileName`,
or the pixels as an array. Refused by name: anything that GDAL cannot read, has more than one band,
or has an unexpected pixel type. The TIFFs carry no georeference, so the name is the only source of
sensor, band, place and date.
"""

import os
import stat
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, overload

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile

from kit.errors import InputError
from kit.files import write_bytes
from kit.tiles.names import DTYPES, TileName
from kit.tiles.netcdf import Plane, read_planes

_MAX_PIXELS = 2**28  # also in ext/tiles.cpp; GDAL would make room for whatever a header says


# Without this, GDAL lists the whole folder whenever it opens one of its files.
_GDAL = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)


def read_tile(path: Path) -> NDArray[np.generic]:
    """Read a single-band TIFF, or a plane, as an array [H, W] of its own pixel type.

    A pixel equal to a declared nodata value becomes NaN in a float tile and 0 in an integer one.

    Raises:
        InputError: it is missing, empty, no regular file, damaged, no TIFF, has several bands, or
            far more pixels than any tile; or it is a plane that `kit.tiles.netcdf` refuses.
    """
    if plane := Plane.parse(path):
        return read_planes([plane])[0]
    _check_file(path)
    try:
        with rasterio.Env(**_GDAL), rasterio.open(path, driver="GTiff") as tile:
            if tile.count != 1:
                raise InputError(path, f"has {tile.count} bands", remedy="a tile holds exactly one")
            if tile.height * tile.width > _MAX_PIXELS:
                problem = f"is {tile.height}x{tile.width} by its header"
                raise InputError(path, problem, remedy=f"a tile has at most {_MAX_PIXELS:,} pixels")
            pixels: NDArray[np.generic] = tile.read(1)
            if tile.nodata is not None:
                pixels[pixels == tile.nodata] = np.nan if pixels.dtype.kind == "f" else 0
    except RasterioError as error:
        cause = str(error.__cause__ or error).replace("\n", " ")
        raise InputError(
            path, f"not readable as a TIFF ({cause})", remedy="fetch this tile again"
        ) from None
    return pixels


def _check_file(path: Path) -> None:
    """Refuse what GDAL would wait for, such as a fifo, or explain badly."""
    try:
        os.fspath(path).encode()
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        status = os.fstat(file)
        os.close(file)
    except OSError as error:
        raise InputError(path, f"cannot be opened ({error.strerror})") from None
    except ValueError:
        raise InputError(ascii(str(path)), "its name has a NUL, or is not UTF-8") from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(path, "is not a regular file", remedy="a tile is a TIFF file")
    if status.st_size == 0:
        raise InputError(path, "is empty (0 bytes)", remedy="fetch this tile again")


@overload
def read_scene(sensor: Literal["Sentinel1"], paths: Sequence[Path]) -> NDArray[np.float32]: ...
@overload
def read_scene(sensor: Literal["Sentinel2"], paths: Sequence[Path]) -> NDArray[np.uint16]: ...
@overload
def read_scene(sensor: str, paths: Sequence[Path]) -> NDArray[np.generic]: ...
def read_scene(sensor: str, paths: Sequence[Path]) -> NDArray[np.generic]:
    """Read the bands of one scene, in the order given, as [bands, H, W].

    Returns:
        float32 dB for Sentinel1, uint16 DN for Sentinel2.

    Raises:
        InputError: a band is unreadable, has another pixel type than its sensor's, or another size
            than the first band's.
    """
    planes = {path: plane for path in paths if (plane := Plane.parse(path))}
    # The bands of a scene share a chunk: asked for together, it is inflated once.
    read = dict(zip(planes, read_planes([*planes.values()]), strict=True))
    bands = [read[path] if path in read else read_tile(path) for path in paths]
    for path, band in zip(paths, bands, strict=True):
        if band.dtype.name not in DTYPES[sensor]:
            expected = " or ".join(DTYPES[sensor])
            raise InputError(
                path, f"pixels are {band.dtype}", remedy=f"{sensor} tiles hold {expected}"
            )
        if band.shape != bands[0].shape:
            height, width = band.shape
            first = "x".join(map(str, bands[0].shape))
            raise InputError(path, f"is {height}x{width} where {paths[0].name} is {first}")
    scene = np.stack(bands)
    return scene.astype(np.float32, copy=False) if sensor == "Sentinel1" else scene


def encode_tiff(pixels: NDArray[np.generic]) -> bytes:
    """Encode [bands, H, W] as an uncompressed TIFF without georeference, in memory.

    GDAL reports a full disk only in its log, so the bytes are made here and written by `kit.files`.
    """
    count, height, width = pixels.shape
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", count=count, height=height, width=width, dtype=pixels.dtype.name
        ) as tile:
            tile.write(pixels)
        return bytes(memory.read())


def write_tile(folder: Path, name: TileName, pixels: NDArray[np.generic]) -> Path:
    """Write the pixels [H, W] of one tile into `folder` under its official name."""
    path = folder / str(name)
    write_bytes(path, encode_tiff(pixels[None]))
    return path

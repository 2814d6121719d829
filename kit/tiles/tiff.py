"""The official tile: one band of one sensor at one place and date, as its name says.

In: the path of a TIFF. Out: its pixels as an array; or the other way about. Refused by name:
anything that GDAL cannot read, or has more than one band. The challenge's TIFFs carry no
georeference, so that their names alone say sensor, band, place and date; where a TIFF says in which
grid it lies, that is read too.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # which no public module has
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.env import get_gdal_config
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile

from kit.errors import InputError
from kit.storage.files import write_bytes
from kit.tiles.beside import has_sidecars
from kit.tiles.names import TileName
from kit.tiles.raster import Grid, Raster
from kit.tiles.regular_file import check_regular
from kit.tiles.tiff_header import read_tiff_header

GDAL_ERRORS = (RasterioError, CPLE_BaseError)
"""What rasterio raises; of some calls what GDAL says, which is no `RasterioError`."""

_MAX_PIXELS = 2**28  # also in ext/tiles.cpp; GDAL would allocate whatever a header says

# Far above any image of the challenge, which has 196,608 values.
MAX_VALUES = 32 << 20
_MAX_BANDS, _MAX_ROWS = 64, 4096

# What the environment says of GDAL must not change what a tile is, or which bytes are written.
_FIXED = {
    "GDAL_GEOREF_SOURCES": "PAM,INTERNAL",
    "GDAL_PAM_ENABLED": "YES",
    "GDAL_TIFF_ENDIANNESS": "LITTLE",
    "GTIFF_DONT_WRITE_BLOCKS": "NO",
    "GTIFF_IGNORE_READ_ERRORS": "NO",
    "GTIFF_MAX_CUMULATED_MEM_USAGE": "0",
    "GTIFF_POINT_GEO_IGNORE": "NO",
}
RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)  # to GDAL
_UNSCALE = "write dB and DN as they are: gdal_translate -unscale IN OUT"
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)


def read_raster(path: Path) -> Raster:
    """Read a single-band TIFF with what it declares of its pixels.

    Which are valid is GDAL's own answer: by a mask inside or beside the file, an alpha band, or a
    nodata value.

    Raises:
        InputError: it is missing, empty, no regular file, damaged, no TIFF, has several bands, or
            far more pixels than any tile; it declares a scale, an offset or a table of colours, or
            lies with its first row in the south.
    """
    with _opened(path) as tile:
        pixels: NDArray[np.generic] = tile.read(1)
        grid = declared_grid(path, tile)
        if tile.mask_flag_enums[0] == [MaskFlags.all_valid]:
            return Raster(pixels, None, grid, is_float16(tile))
        return Raster(pixels, tile.read_masks(1) == 0, grid, is_float16(tile))


def tile_grid(path: Path) -> Grid | None:
    """Where a single-band TIFF says that it lies, by its header.

    Raises:
        InputError: as `read_raster`, but for pixels that are damaged.
    """
    with _opened(path) as tile:
        return declared_grid(path, tile)


def tile_size(path: Path) -> tuple[int, int]:
    """Height and width of a single-band TIFF, by its header.

    Raises:
        InputError: as `read_raster`, but for pixels that are damaged.
    """
    with _opened(path) as tile:
        return tile.height, tile.width


def tile_dtype(path: Path) -> str:
    """The pixel type of a single-band TIFF, by its header; raises as `tile_size`."""
    with _opened(path) as tile:
        return str(tile.dtypes[0])


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with opened(path) as tile:
        _check_bands(path, tile)
        check_size(path, tile, "a tile")
        yield tile


@contextmanager
def opened(path: Path, driver: str = "GTiff", kind: str = "a TIFF") -> Iterator[Any]:
    """A raster that rasterio has opened, whatever the environment says to GDAL.

    Args:
        path: of the file.
        driver: the one of GDAL's that may open it.
        kind: what the file has to be, for errors.

    Raises:
        InputError: it cannot be opened, or what the block reads of it cannot be read.
    """
    check_regular(path, kind)
    try:
        with (
            rasterio.Env(**gdal_settings(sidecars=has_sidecars(path))),
            rasterio.open(path, driver=driver) as found,
        ):
            yield found
    except GDAL_ERRORS as error:
        problem = f"not readable as {kind} ({gdal_cause(error)})"
        raise InputError(path, problem, remedy="fetch it again") from None


def check_size(path: Path, image: Any, kind: str) -> None:
    """Refuse an open raster with far more pixels than any image; `kind` is what it has to be.

    Raises:
        InputError: it has more.
    """
    if image.height * image.width > _MAX_PIXELS:
        problem = f"is {image.height}x{image.width} by its header"
        raise InputError(path, problem, remedy=f"{kind} has at most {_MAX_PIXELS:,} pixels")


def gdal_cause(error: Exception) -> str:
    """What GDAL says of one of `GDAL_ERRORS`, in one line."""
    return str(error.__cause__ or error).replace("\n", " ")


def gdal_settings(*, sidecars: bool = False) -> dict[str, str]:
    """GDAL's settings for a file. Each takes time: those that nobody has changed are left out.

    GDAL would list the whole folder whenever it opens one of its files. Where there are `sidecars`,
    it is to look for them by their names.
    """
    if sidecars:
        return {"GDAL_DISABLE_READDIR_ON_OPEN": "TRUE"} | _FIXED
    odd = {name: value for name, value in _FIXED.items() if get_gdal_config(name) is not None}
    return {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"} | odd


def _check_bands(path: Path, tile: Any) -> None:
    """Refuse a tile whose numbers are not what its band measures."""
    with_alpha = tile.count == 2 and tile.colorinterp[1] == ColorInterp.alpha
    if tile.count != 1 and not with_alpha:
        raise InputError(path, f"has {tile.count} bands", remedy="a tile holds exactly one")
    check_unscaled(path, tile)
    if tile.colorinterp[0] == ColorInterp.palette:
        problem = "holds the indices of a table of colours"
        raise InputError(path, problem, remedy="write dB or DN as they are")


def declared_grid(path: Path, image: Any) -> Grid | None:
    """Where an open data set says that it lies; None if it does not.

    Raises:
        InputError: its first row lies in the south.
    """
    grid = Grid.of(image)
    if grid and grid.south_up:
        problem = "is south-up: its first row lies in the south"
        raise InputError(path, problem, remedy="turn it with gdalwarp IN OUT")
    return grid


def check_unscaled(where: str | Path, tile: Any) -> None:
    """Refuse an open data set whose numbers are to be scaled.

    Raises:
        InputError: a band of it declares a scale other than 1, or an offset other than 0.
    """
    for scale, offset in zip(tile.scales, tile.offsets, strict=True):
        if (scale, offset) != (1, 0):
            problem = f"declares the scale {scale:g} and the offset {offset:g}"
            raise InputError(where, problem, remedy=_UNSCALE)


def is_float16(image: Any, band: int = 1) -> bool:
    """Whether a band of an open data set, counted from 1, holds floats of 16 bits.

    GDAL reads these as float32, so that the type of the pixels does not tell.
    """
    if image.dtypes[band - 1] != "float32":
        return False
    return bool(image.tags(band, ns="IMAGE_STRUCTURE").get("NBITS") == "16")


def encode_tiff(pixels: NDArray[np.generic], grid: Grid | None = None) -> bytes:
    """Encode [bands, H, W] as an uncompressed TIFF in memory; with a `grid`, where they lie.

    GDAL reports a full disk only in its log, so the bytes are made here and written by
    `kit.storage.files`.
    """
    count, height, width = pixels.shape
    placed: dict[str, Any] = {}
    if grid:
        placed = {"crs": grid.crs or None, "transform": rasterio.Affine(*grid.transform)}
    with rasterio.Env(**gdal_settings()), MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            count=count,
            height=height,
            width=width,
            dtype=pixels.dtype.name,
            ENDIANNESS="LITTLE",  # whatever the environment says
            **placed,
        ) as tile:
            tile.write(pixels)
        return bytes(memory.read())


def decode_tiff(
    where: str | Path,
    data: bytes,
    limit: int = MAX_VALUES,
    bands: int = 3,
    *,
    more: bool = False,
) -> NDArray[np.generic]:
    """Decode a TIFF in memory as [bands, H, W]; the bands may come last, as the server allows.

    Args:
        where: what an error names.
        data: the file.
        limit: the most values that it may hold.
        bands: how many bands are asked for.
        more: whether bands beyond these are returned too rather than refused.

    Raises:
        InputError: `where` is not such a TIFF, or holds more than `limit` values or many bands.
    """
    header = read_tiff_header(where, data)
    size = f"{header.bands}x{header.height}x{header.width}"
    if header.bands * header.height * header.width > limit:
        raise InputError(where, f"has {size} pixels by its header, more than any image")
    # GDAL takes seconds to prepare thousands of bands. Where they come last, rows are bands to it.
    if header.bands > (_MAX_ROWS if header.width == bands else _MAX_BANDS):
        raise InputError(where, f"is {size} by its header; expected {bands} bands")
    try:
        # Named, for GDAL puts the name into what it says of a damaged image.
        with (
            rasterio.Env(**gdal_settings()),
            MemoryFile(data, filename="image.tiff") as memory,
            rasterio.open(memory.name, driver="GTiff") as image,
        ):
            if "complex" in image.dtypes[0]:
                raise InputError(where, f"pixels are {image.dtypes[0]}", remedy="write uint16")
            pixels: NDArray[np.generic] = image.read()
    except GDAL_ERRORS as error:
        # The folder of the file in memory is another one each time.
        cause = re.sub(r"/vsimem/[^/]*/", "", gdal_cause(error))
        raise InputError(where, f"not readable as a TIFF ({cause})") from None
    if pixels.shape[2] == bands:
        pixels = pixels.transpose(2, 0, 1)
    if pixels.shape[0] < bands or (pixels.shape[0] > bands and not more):
        raise InputError(where, f"is {size}; expected {bands} bands")
    return pixels


def honour_declared(path: Path, pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    """What the pixels [3, H, W] of an image mean, by what its file declares of them.

    Returns:
        The bands in the order red, green, blue, and 0 in all of them where one is not valid.

    Raises:
        InputError: it declares a scale or an offset, or cannot be read.
    """
    with opened(path) as image:
        check_unscaled(path, image)
        if image.count != len(pixels):  # its bands come last
            return pixels
        colors = image.colorinterp
        if set(colors) == set(RGB):
            pixels = pixels[[colors.index(color) for color in RGB]]
        if all(flags == [MaskFlags.all_valid] for flags in image.mask_flag_enums):
            return pixels
        invalid = (image.read_masks() == 0).any(axis=0)
    result: NDArray[np.generic] = np.where(invalid, pixels.dtype.type(0), pixels)
    return result


def write_tile(folder: Path, name: TileName, pixels: NDArray[np.generic]) -> Path:
    """Write the pixels [H, W] of one tile into `folder` under its official name."""
    path = folder / str(name)
    write_bytes(path, encode_tiff(pixels[None]))
    return path

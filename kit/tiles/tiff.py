"""The official tile: one band of one sensor at one place and date, as its name says.

In: the path of a TIFF. Out: its pixels as an array; or the other way about. Refused by name:
anything that GDAL cannot read, or has more than one band. The TIFFs carry no georeference, so the
name is the only source of sensor, band, place and date.
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
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile

from kit.errors import InputError
from kit.files import write_bytes
from kit.tiles.names import TileName
from kit.tiles.regular_file import check_regular
from kit.tiles.tiff_header import read_tiff_header

_MAX_PIXELS = 2**28  # also in ext/tiles.cpp; GDAL would allocate whatever a header says

# Far above any image of the challenge, which has 196,608 values.
MAX_VALUES = 32 << 20
_MAX_BANDS, _MAX_ROWS = 64, 4096

# Without this, GDAL lists the whole folder whenever it opens one of its files.
_GDAL = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)


def read_tile(path: Path) -> NDArray[np.generic]:
    """Read a single-band TIFF as an array [H, W] of its own pixel type.

    A pixel equal to a declared nodata value becomes NaN in a float tile and 0 in an integer one.

    Raises:
        InputError: it is missing, empty, no regular file, damaged, no TIFF, has several bands, or
            far more pixels than any tile.
    """
    with _opened(path) as tile:
        pixels: NDArray[np.generic] = tile.read(1)
        if tile.nodata is not None:
            pixels[pixels == tile.nodata] = np.nan if pixels.dtype.kind == "f" else 0
    return pixels


def tile_size(path: Path) -> tuple[int, int]:
    """Height and width of a single-band TIFF, by its header.

    Raises:
        InputError: as `read_tile`, but for pixels that are damaged.
    """
    with _opened(path) as tile:
        return tile.height, tile.width


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    check_regular(path, "a TIFF")
    try:
        with rasterio.Env(**_GDAL), rasterio.open(path, driver="GTiff") as tile:
            if tile.count != 1:
                raise InputError(path, f"has {tile.count} bands", remedy="a tile holds exactly one")
            if tile.height * tile.width > _MAX_PIXELS:
                problem = f"is {tile.height}x{tile.width} by its header"
                raise InputError(path, problem, remedy=f"a tile has at most {_MAX_PIXELS:,} pixels")
            yield tile
    except RasterioError as error:
        cause = str(error.__cause__ or error).replace("\n", " ")
        raise InputError(
            path, f"not readable as a TIFF ({cause})", remedy="fetch it again"
        ) from None


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
            MemoryFile(data, filename="image.tiff") as memory,
            rasterio.open(memory.name, driver="GTiff") as image,
        ):
            if "complex" in image.dtypes[0]:
                raise InputError(where, f"pixels are {image.dtypes[0]}", remedy="write uint16")
            pixels: NDArray[np.generic] = image.read()
    except RasterioError as error:
        # The folder of the file in memory is another one each time.
        cause = re.sub(r"/vsimem/[^/]*/", "", str(error.__cause__ or error)).replace("\n", " ")
        raise InputError(where, f"not readable as a TIFF ({cause})") from None
    if pixels.shape[2] == bands:
        pixels = pixels.transpose(2, 0, 1)
    if pixels.shape[0] < bands or (pixels.shape[0] > bands and not more):
        raise InputError(where, f"is {size}; expected {bands} bands")
    return pixels


def write_tile(folder: Path, name: TileName, pixels: NDArray[np.generic]) -> Path:
    """Write the pixels [H, W] of one tile into `folder` under its official name."""
    path = folder / str(name)
    write_bytes(path, encode_tiff(pixels[None]))
    return path

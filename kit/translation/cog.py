"""Rows of an image -> a cloud-optimised GeoTIFF, written by GDAL and read back.

In: rows as they come, uint16 or float32, the grid, and what each band is. Out: one file with
overviews, which opens where it belongs; nodata is 0 of whole numbers, and NaN of floats. GDAL makes
such a file of another raster, so the rows go into a plain file first, which a VRT describes. It
reports a full disk only in its log: what it wrote is compared with what it was given, every pixel.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.shutil import copy
from rasterio.windows import Window

from kit.errors import OutputError
from kit.storage.files import naming, output
from kit.tiles.geotiff import remove_sidecars
from kit.tiles.names import RGB_BANDS
from kit.tiles.raster import Grid
from kit.tiles.tiff import GDAL_ERRORS, gdal_cause, gdal_settings
from kit.translation.radar_raster import CACHE

_COLORS = ("Red", "Green", "Blue")
_ROWS = 512  # of a block
_PIXELS, _VRT = "pixels.raw", "pixels.vrt"
_OPTIONS = {
    "driver": "COG",
    "compress": "deflate",
    "predictor": "yes",  # horizontal differences: reflectance changes little from pixel to pixel
    "bigtiff": "if_safer",
    "num_threads": "all_cpus",
    "overview_resampling": "average",
}


def write_cog(
    path: Path,
    rows: Iterable[NDArray[np.generic]],
    kind: np.dtype[Any],
    size: tuple[int, int],
    grid: Grid | None,
    tags: Mapping[str, str],
    folder: Path,
) -> None:
    """Write an image of red, green and blue, completely or not at all.

    Args:
        path: of the file, which is replaced.
        rows: the image from top to bottom, [3, any, W].
        kind: of its pixels, uint16 or float32.
        size: its height and width.
        grid: where it lies.
        tags: what the file says of itself.
        folder: for the rows until the file is there.

    Raises:
        OutputError: it cannot be written, or GDAL wrote something else.
    """
    raw = folder / _PIXELS
    with naming(raw), raw.open("wb") as file:
        for block in rows:
            file.write(np.ascontiguousarray(block.transpose(1, 0, 2), kind.newbyteorder("<")).data)
    vrt = folder / _VRT
    with naming(vrt):
        vrt.write_text(_described(size, kind, grid, tags), encoding="utf-8")
    settings = gdal_settings(sidecars=True) | {"GDAL_CACHEMAX": CACHE}
    with rasterio.Env(**settings), output(path) as part:
        try:
            copy(str(vrt), str(part), **_OPTIONS)
        except Exception as error:  # GDAL's own errors too, whose class rasterio keeps to itself
            raise _failed(path, f"cannot be written ({gdal_cause(error)})") from error
        _compare(path, part, raw, kind, size)
    remove_sidecars(path)


def _compare(path: Path, part: Path, raw: Path, kind: np.dtype[Any], size: tuple[int, int]) -> None:
    """Refuse what GDAL wrote if it is not what it was given."""
    height, width = size
    # Read and not mapped: all pages of a map would stay in the memory of this process.
    with rasterio.open(part) as made, raw.open("rb") as file:
        for top in range(0, height, _ROWS):
            rest = min(_ROWS, height - top)
            values = np.fromfile(file, kind.newbyteorder("<"), rest * 3 * width)
            given = values.reshape(rest, 3, width).transpose(1, 0, 2)
            try:
                found = made.read(window=Window(0, top, width, rest))
            except GDAL_ERRORS:
                raise _failed(path, "is damaged as soon as it is written") from None
            if not np.array_equal(found, given, equal_nan=True):
                raise _failed(path, "is damaged as soon as it is written")


def _failed(path: Path, problem: str) -> OutputError:
    remedy = "free disk space or give another folder, and run the same command again"
    return OutputError(f"{path}: {problem}\n  {remedy}")


def _described(
    size: tuple[int, int], kind: np.dtype[Any], grid: Grid | None, tags: Mapping[str, str]
) -> str:
    """A VRT of the rows: each row holds its pixels band by band."""
    height, width = size
    placed = ""
    if grid:
        a, b, c, d, e, f = grid.transform
        numbers = ", ".join(map(repr, (c, a, b, f, d, e)))
        placed = f"<GeoTransform>{numbers}</GeoTransform>"
        if grid.crs:
            placed = f"<SRS>{escape(grid.crs)}</SRS>{placed}"
    said = "".join(f"<MDI key={quoteattr(k)}>{escape(v)}</MDI>" for k, v in tags.items())
    bands = "".join(_band(number, width, kind) for number in range(3))
    return (
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{placed}'
        f"<Metadata>{said}</Metadata>{bands}</VRTDataset>\n"
    )


def _band(number: int, width: int, kind: np.dtype[Any]) -> str:
    named, nodata = ("Float32", "nan") if kind.kind == "f" else ("UInt16", "0")
    fields: Sequence[tuple[str, object]] = (
        ("Description", RGB_BANDS[number]),
        ("NoDataValue", nodata),
        ("ColorInterp", _COLORS[number]),
        ("ImageOffset", kind.itemsize * width * number),
        ("PixelOffset", kind.itemsize),
        ("LineOffset", kind.itemsize * width * 3),
        ("ByteOrder", "LSB"),
    )
    said = "".join(f"<{name}>{value}</{name}>" for name, value in fields)
    source = f'<SourceFilename relativetoVRT="1">{_PIXELS}</SourceFilename>'
    opening = f'<VRTRasterBand dataType="{named}" band="{number + 1}"'
    return f'{opening} subClass="VRTRawRasterBand">{said}{source}</VRTRasterBand>'

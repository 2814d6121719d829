"""Pixels and where they lie -> a GeoTIFF, for QGIS and alike.

In: pixels, their grid, and the name of each band. Out: the file. Its values are the pixels, bit for
bit.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

from kit.storage.files import naming, output
from kit.tiles.raster import Grid
from kit.tiles.sidecars import sidecars_of
from kit.tiles.tiff import RGB, gdal_settings


def write_geotiff(
    path: Path,
    pixels: NDArray[np.generic],
    grid: Grid,
    bands: Sequence[str],
    tags: Mapping[str, str],
    *,
    is_color: bool = False,
) -> Path:
    """Write pixels where they lie, completely or not at all.

    Args:
        path: of the file, which is replaced.
        pixels: [bands, H, W].
        grid: of the pixels.
        bands: what each band is called.
        tags: what the file says of itself, such as the unit.
        is_color: whether the first three bands are red, green and blue.

    Raises:
        OutputError: it cannot be written.
    """
    count, height, width = pixels.shape
    # GDAL reports a full disk only in its log, so the bytes are made here.
    with rasterio.Env(**gdal_settings()), MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            count=count,
            height=height,
            width=width,
            dtype=pixels.dtype.name,
            crs=grid.crs or None,
            transform=rasterio.Affine(*grid.transform),
            compress="deflate",
            photometric="RGB" if is_color else "MINISBLACK",
            ENDIANNESS="LITTLE",  # whatever the environment says
        ) as file:
            file.write(pixels)
            file.descriptions = tuple(bands)
            file.update_tags(**tags)
            if is_color:
                file.colorinterp = [*RGB, *[ColorInterp.undefined] * (count - len(RGB))]
        data = bytes(memory.read())
    with output(path) as part:
        part.write_bytes(data)
    remove_sidecars(path)
    return path


def remove_sidecars(path: Path) -> None:
    """Remove what describes a file that another has replaced, such as the statistics of its pixels.

    Raises:
        OutputError: one cannot be removed.
    """
    with naming(path):
        for sidecar in sidecars_of(str(path)):
            Path(sidecar).unlink()

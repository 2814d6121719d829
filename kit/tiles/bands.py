"""The bands of one scene, read one after the other: what the compiled reader is measured against.

In: TIFFs through GDAL, planes of NetCDF files through HDF5. Out: pixels, or the size alone. Refused
by name: what `kit.tiles.tiff` and `kit.tiles.netcdf` refuse, and bands that do not fit together.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.tiles.names import DTYPES
from kit.tiles.netcdf import Plane, plane_size, read_planes
from kit.tiles.tiff import read_tile, tile_size

File = str | Path | Plane
"""Where the pixels of a band are: the path of a TIFF, or a plane of a NetCDF file."""


@overload
def read_bands(sensor: Literal["Sentinel1"], files: Sequence[File]) -> NDArray[np.float32]: ...
@overload
def read_bands(sensor: Literal["Sentinel2"], files: Sequence[File]) -> NDArray[np.uint16]: ...
@overload
def read_bands(sensor: str, files: Sequence[File]) -> NDArray[np.generic]: ...
def read_bands(sensor: str, files: Sequence[File]) -> NDArray[np.generic]:
    """Read the bands of one scene, in the order given, as [bands, H, W].

    Returns:
        float32 dB for Sentinel1, uint16 DN for Sentinel2.

    Raises:
        InputError: a band is unreadable, has another pixel type than its sensor's, or another size
            than the first band's.
    """
    planes = [file for file in files if isinstance(file, Plane)]
    # The bands of a scene share a chunk: asked for together, it is inflated once.
    inflated = iter(read_planes(planes))
    bands = [next(inflated) if isinstance(file, Plane) else read_tile(Path(file)) for file in files]
    for file, band in zip(files, bands, strict=True):
        if band.dtype.name not in DTYPES[sensor]:
            expected = " or ".join(DTYPES[sensor])
            problem = f"pixels are {band.dtype}"
            raise InputError(str(file), problem, remedy=f"{sensor} tiles hold {expected}")
        if band.shape != bands[0].shape:
            height, width = band.shape
            first = "x".join(map(str, bands[0].shape))
            name = Path(str(files[0])).name
            raise InputError(str(file), f"is {height}x{width} where {name} is {first}")
    scene = np.stack(bands)
    return scene.astype(np.float32, copy=False) if sensor == "Sentinel1" else scene


def first_size(files: Iterable[File]) -> tuple[int, int] | None:
    """Height and width of the first tile whose header can be read; most are of one size."""
    for file in files:
        try:
            return plane_size(file) if isinstance(file, Plane) else tile_size(Path(file))
        except InputError:
            continue
    return None

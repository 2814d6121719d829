"""The bands of one scene, read one after the other: what the compiled reader is measured against.

In: TIFFs through GDAL, planes of NetCDF files through HDF5. Out: pixels, or the size alone. Refused
by name: what `kit.tiles.tiff` and `kit.tiles.netcdf` refuse, and bands that do not fit together.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from kit.errors import InputError
from kit.tiles.names import DTYPES, RGB_BANDS
from kit.tiles.netcdf import File, Plane, plane_dtype, plane_size, read_planes
from kit.tiles.optical_floats import Unit, to_dn, unit_of
from kit.tiles.raster import Grid, Raster
from kit.tiles.tiff import read_raster, tile_dtype, tile_grid, tile_size

T = TypeVar("T")

_COLORS = len(RGB_BANDS)
_HEADERS = 30  # that are read to find the size of most tiles


@overload
def read_bands(sensor: Literal["Sentinel1"], files: Sequence[File]) -> NDArray[np.float32]: ...
@overload
def read_bands(sensor: Literal["Sentinel2"], files: Sequence[File]) -> NDArray[np.uint16]: ...
@overload
def read_bands(sensor: str, files: Sequence[File]) -> NDArray[np.generic]: ...
def read_bands(sensor: str, files: Sequence[File]) -> NDArray[np.generic]:
    """Read the bands of one scene, in the order given, as [bands, H, W].

    A pixel that its file declares invalid is NaN in that band of a radar scene. In an optical one
    it is 0 in all colours, though it be invalid in one of them alone. Optical floats become DN as
    `kit.tiles.optical_floats` says.

    Args:
        sensor: "Sentinel1" or "Sentinel2".
        files: of the bands: of optical ones the colours, QA60 may follow.

    Returns:
        float32 dB for Sentinel1, uint16 DN for Sentinel2.

    Raises:
        InputError: a band is unreadable, has another pixel type than its sensor's, or another size
            or declared grid than the first band's.
    """
    return read_bands_and_type(sensor, files, _COLORS)[0]


def read_bands_and_type(
    sensor: str, files: Sequence[File], colors: int
) -> tuple[NDArray[np.generic], bool]:
    """What `read_bands` gives, and whether a file holds it in floats of 16 bits.

    `colors` says how many bands of an optical scene, the first, are reflectance.
    """
    bands = _read(sensor, files)
    pixels = [band.blanked() for band in bands]
    is_float16 = any(band.float16 for band in bands)
    if sensor == "Sentinel1":
        return np.stack(pixels).astype(np.float32, copy=False), is_float16
    scene = np.stack(to_dn(str(files[0]), pixels, colors))
    invalid = [band.invalid for band in bands[:colors] if band.invalid is not None]
    if invalid:
        scene[:colors, np.logical_or.reduce(invalid)] = 0
    return scene, is_float16


def read_stored(sensor: str, files: Sequence[File]) -> NDArray[np.generic]:
    """Read the bands of one scene as its files hold them, whatever they declare to be nodata.

    Raises as `read_bands`.
    """
    return np.stack([band.pixels for band in _read(sensor, files)])


def unit_of_floats(files: Sequence[File]) -> Unit | None:
    """Which unit the colours of an optical scene are taken for; None where they are uint16.

    Raises as `read_bands`.
    """
    found = unit_and_type_of_floats(files)
    return found and found[0]


def unit_and_type_of_floats(files: Sequence[File]) -> tuple[Unit, bool] | None:
    """What `unit_of_floats` gives, and whether a file holds it in floats of 16 bits."""
    first = files[0]
    dtype = plane_dtype(first) if isinstance(first, Plane) else tile_dtype(Path(first))
    if not dtype.startswith("float"):
        return None
    bands = _read("Sentinel2", files[: len(RGB_BANDS)])
    unit = unit_of(str(first), [band.blanked() for band in bands])
    return unit, any(band.float16 for band in bands)


def _read(sensor: str, files: Sequence[File]) -> list[Raster]:
    planes = [file for file in files if isinstance(file, Plane)]
    # The bands of a scene share a chunk: asked for together, it is inflated once.
    inflated = iter(read_planes(planes))
    bands = [
        next(inflated) if isinstance(file, Plane) else read_raster(Path(file)) for file in files
    ]
    for file, band in zip(files, bands, strict=True):
        _check(sensor, file, band, files[0], bands[0])
    placed = [(file, band) for file, band in zip(files, bands, strict=True) if band.grid]
    for file, band in placed[1:]:
        _check_grid(file, band, *placed[0])
    return bands


def scene_grid(files: Sequence[File]) -> Grid | None:
    """Where a scene says that it lies, by the header of the first TIFF that says so.

    Raises:
        InputError: a band is unreadable.
    """
    paths = (Path(file) for file in files if not isinstance(file, Plane))
    return next((grid for path in paths if (grid := tile_grid(path))), None)


def _check(sensor: str, file: File, band: Raster, first: File, reference: Raster) -> None:
    """Refuse a band that is not its sensor's, or does not fit upon the first."""
    if band.pixels.dtype.name not in DTYPES[sensor]:
        expected = " or ".join(DTYPES[sensor])
        problem, remedy = f"pixels are {band.pixels.dtype}", f"{sensor} tiles hold {expected}"
        raise InputError(str(file), problem, remedy=remedy)
    (height, width), name = band.pixels.shape, Path(str(first)).name
    if band.pixels.shape != reference.pixels.shape:
        size = "x".join(map(str, reference.pixels.shape))
        problem = f"is {height}x{width} where {name} is {size}"
        raise InputError(str(file), problem, remedy="export all bands of a scene at one size")


def _check_grid(file: File, band: Raster, first: File, reference: Raster) -> None:
    assert band.grid and reference.grid
    problem, name = band.grid.mismatch(reference.grid, *band.pixels.shape), Path(str(first)).name
    if problem:
        remedy = f"warp it onto the grid of {name}"
        raise InputError(str(file), f"{problem} ({name})", remedy=remedy)


def size_of(file: File) -> tuple[int, int] | None:
    """Height and width of a tile; None where its header cannot be read."""
    try:
        return plane_size(file) if isinstance(file, Plane) else tile_size(Path(file))
    except InputError:
        return None


def spread(all_of_them: Sequence[T], most: int) -> list[T]:
    """So many of a sequence at most, evenly over it and in its order."""
    count = min(len(all_of_them), most)
    return [all_of_them[at * len(all_of_them) // count] for at in range(count)]


def usual_size(files: Sequence[File]) -> tuple[int, int] | None:
    """Height and width of most tiles, by some headers spread over them; None if none is readable.

    Where none of those can be read, it is that of the first tile that can be.
    """
    sizes = Counter(size for file in spread(files, _HEADERS) if (size := size_of(file)))
    if sizes:
        return sizes.most_common(1)[0][0]
    return next((size for file in files if (size := size_of(file))), None)

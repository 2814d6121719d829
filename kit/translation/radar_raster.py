"""A radar scene of any size: a raster of VV and VH in dB, read a few rows at a time.

In: a GeoTIFF or VRT with both bands, or one of each. Out: dB as float32, NaN where the file
declares that pixels mean nothing; and where the scene lies. Refused by name: other pixel types,
declared scales, rows from south to north, ground control points in place of a grid, two files that
do not fit upon each other.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window

from kit.errors import InputError
from kit.tiles.beside import check_beside
from kit.tiles.raster import Grid
from kit.tiles.regular_file import check_regular
from kit.tiles.tiff import (
    GDAL_ERRORS,
    check_unscaled,
    declared_grid,
    gdal_cause,
    gdal_settings,
    is_float16,
)
from kit.translation.polarisations import Polarisations, find_polarisations
from kit.translation.vrt import read_sources

CACHE = 128 << 20
"""Bytes of decoded blocks that GDAL keeps: its default is a share of the machine's memory."""
_OTHER_OVERVIEWS = ("OVERVIEWS", "ProxyOverviewRequest")
"""Domains of metadata by which GDAL finds overviews of any name, which may be an address."""
_TYPES = ("float32", "float64")
_DB = "write dB as float32, 10 * log10(power)"


@dataclass(frozen=True, slots=True)
class _Band:
    """An open file, the number of one of its bands, and a file that holds its pixels."""

    path: Path
    file: Any
    number: int
    pixels: Path


@dataclass(frozen=True, slots=True)
class RadarRaster:
    """An open scene. `bands` are VV and VH; `grid` is None where no file says where it lies.

    `files` are all that is read: `paths`, and what a VRT among them refers to.
    `told` says whether the file or the user said which band is which, `if_swapped` what to do if
    that is wrong, and `float16` whether a band holds floats of 16 bits.
    """

    paths: tuple[Path, ...]
    files: tuple[Path, ...]
    bands: tuple[_Band, _Band]
    height: int
    width: int
    grid: Grid | None
    told: bool
    if_swapped: str
    float16: bool

    def read(
        self, row: int, rows: int, column: int = 0, columns: int | None = None
    ) -> NDArray[np.float32]:
        """VV and VH of some rows in dB, [2, rows, columns]; all columns if None.

        Raises:
            InputError: the file is damaged.
        """
        window = Window(column, row, self.width if columns is None else columns, rows)
        return np.stack([_read(band, window) for band in self.bands])

    def samples(self, size: tuple[int, int], along: int) -> Iterator[NDArray[np.float32]]:
        """Parts [2, *size] of the scene, up to `along` in each direction; raises as `read`.

        Where the scene is smaller, so are they.
        """
        height, width = min(size[0], self.height), min(size[1], self.width)
        for row in _spread(self.height - height, along):
            for column in _spread(self.width - width, along):
                yield self.read(row, height, column, width)


@contextmanager
def open_radar(scene: Path, vh: Path | None, bands: Sequence[str]) -> Iterator[RadarRaster]:
    """Open a scene.

    Args:
        scene: the file of both bands, or of VV alone.
        vh: the file of VH, if `scene` holds VV alone.
        bands: what the bands of `scene` are, in their order; nothing if the file says it.

    Raises:
        InputError: a file is missing or damaged, or not such a raster.
    """
    paths = (scene,) if vh is None else (scene, vh)
    settings = gdal_settings(sidecars=True) | {"GDAL_CACHEMAX": CACHE}
    with rasterio.Env(**settings), ExitStack() as opened:
        read = [_files_of(path) for path in paths]
        files = [opened.enter_context(_open(path)) for path in paths]
        pixels = [next((path for path in each if not _is_vrt(path)), each[0]) for each in read]
        if vh is None:
            numbers, order = _order(scene, files[0], bands)
            found = tuple(_Band(scene, files[0], number, pixels[0]) for number in numbers)
            told, if_swapped = order.told, order.if_swapped
        else:
            if bands:
                problem = "cannot be combined with --vh"
                raise InputError("--bands", problem, remedy="the two files say which is which")
            found = tuple(map(_only_band, paths, files, pixels))
            told, if_swapped = True, f"exchange the two files: {vh} as SCENE, and --vh {scene}"
            _check_fit(paths, files)
        for band in found:
            _check_band(band)
        first = files[0]
        grids = [
            grid for path, file in zip(paths, files, strict=True) if (grid := _grid(path, file))
        ]
        yield RadarRaster(
            paths,
            tuple(dict.fromkeys(path for each in read for path in each)),
            (found[0], found[1]),
            first.height,
            first.width,
            grids[0] if grids else None,
            told,
            if_swapped,
            any(map(_holds_float16, found)),
        )


def _is_vrt(path: Path) -> bool:
    return path.suffix.lower() == ".vrt"


def _files_of(raster: Path) -> tuple[Path, ...]:
    """A raster, and if it is a VRT all that it refers to; none of them leads anywhere else.

    Only then is GDAL asked to read it.
    """
    found, waiting = {raster: None}, [raster]
    while waiting:
        path = waiting.pop()
        check_regular(path, "a raster")
        check_beside(path)
        sources = read_sources(path) if _is_vrt(path) else []
        waiting += [source for source in sources if source not in found]
        found |= dict.fromkeys(sources)
    for path in sorted(found, key=_is_vrt):  # what they hold before what may open them
        with _open(path) as file:
            if any(file.tags(ns=domain) for domain in _OTHER_OVERVIEWS):
                remedy = "copy it without them: gdal_translate -co COPY_SRC_MDD=NO IN OUT.tif"
                raise InputError(path, "has overviews in another file", remedy=remedy)
    return tuple(found)


def _open(path: Path) -> Any:
    try:
        return rasterio.open(path, driver="VRT" if _is_vrt(path) else "GTiff")
    except GDAL_ERRORS as error:
        raise _unreadable(path, error) from None
    except TypeError as error:  # rasterio has no name for GDAL's newest pixel types
        raise InputError(path, f"not readable ({error})", remedy=_DB) from None


def _unreadable(path: Path, error: Exception) -> InputError:
    is_raster = path.suffix.lower() in (".tif", ".tiff", ".vrt")
    remedy = "fetch it again" if is_raster else "write it as one: gdal_translate IN OUT.tif"
    problem = f"not readable as a GeoTIFF or VRT ({gdal_cause(error)})"
    return InputError(path, problem, remedy=remedy)


def _order(scene: Path, file: Any, bands: Sequence[str]) -> tuple[tuple[int, int], Polarisations]:
    """The numbers of VV and VH in the file, and which they are among the bands but for alpha."""
    used = _without_alpha(file)
    described = [(file.descriptions[number - 1] or "") for number in used]
    order = find_polarisations(scene, described, bands)
    return (used[order.vv - 1], used[order.vh - 1]), order


def _only_band(path: Path, file: Any, pixels: Path) -> _Band:
    numbers = _without_alpha(file)
    if len(numbers) != 1:
        problem = f"has {len(numbers)} bands, and of two files each holds one"
        raise InputError(path, problem, remedy="leave --vh out if SCENE holds both")
    return _Band(path, file, numbers[0], pixels)


def _without_alpha(file: Any) -> list[int]:
    colors = file.colorinterp
    return [n for n in range(1, file.count + 1) if colors[n - 1] != ColorInterp.alpha]


def _check_band(band: _Band) -> None:
    """Refuse a band whose numbers cannot be dB."""
    kind = band.file.dtypes[band.number - 1]
    if kind not in _TYPES:
        raise InputError(band.path, f"pixels are {kind}, and dB are floats", remedy=_DB)
    check_unscaled(band.path, band.file)


def _holds_float16(band: _Band) -> bool:
    """Whether a band holds floats of 16 bits; a mosaic does not say it, but its first file does."""
    if band.pixels != band.path:
        with _open(band.pixels) as first:
            return is_float16(first)
    return is_float16(band.file, band.number)


def _grid(path: Path, file: Any) -> Grid | None:
    grid = declared_grid(path, file)
    if grid is None and file.gcps[0]:
        problem = "is placed by ground control points, not by a grid"
        remedy = "warp it onto one first: gdalwarp -r bilinear IN OUT"
        raise InputError(path, problem, remedy=remedy)
    return grid


def _check_fit(paths: Sequence[Path], files: Sequence[Any]) -> None:
    """Refuse two files of different sizes or grids."""
    sizes = [f"{file.height}x{file.width}" for file in files]
    if sizes[0] != sizes[1]:
        remedy = f"give both of one scene, or warp it onto the grid of {paths[0].name}"
        problem = f"is {sizes[1]} where {paths[0].name} is {sizes[0]}"
        raise InputError(paths[1], problem, remedy=remedy)
    grids = [_grid(path, file) for path, file in zip(paths, files, strict=True)]
    if grids[0] and grids[1]:
        height, width = files[0].height, files[0].width
        if problem := grids[1].mismatch(grids[0], height, width):
            remedy = f"warp it onto the grid of {paths[0].name}"
            raise InputError(paths[1], f"{problem} ({paths[0].name})", remedy=remedy)


def _read(band: _Band, window: Window) -> NDArray[np.float32]:
    try:
        read: NDArray[np.generic] = band.file.read(band.number, window=window)
        pixels = read.astype(np.float32, copy=False)
        if band.file.mask_flag_enums[band.number - 1] != [MaskFlags.all_valid]:
            pixels[band.file.read_masks(band.number, window=window) == 0] = np.nan
    except GDAL_ERRORS as error:
        raise _unreadable(band.path, error) from None
    return pixels


def _spread(last: int, number: int) -> list[int]:
    """Up to `number` different places from 0 to `last`."""
    return sorted({round(last * step / max(number - 1, 1)) for step in range(number)})

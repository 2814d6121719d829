"""An image of a source as its file holds it: bands, which pixels are valid, and where it lies.

In: the path of a GeoTIFF, PNG or JPEG. Out: its header, or the bands that are asked for. Refused by
name: what cannot be read, tables of colours, transparent pixels, and declared scales.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags

from kit.errors import InputError
from kit.tiles.raster import Grid
from kit.tiles.tiff import check_size, check_unscaled, is_float16, opened

_DRIVERS = {
    ".tif": "GTiff", ".tiff": "GTiff", ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of an image says; `names` are those of its bands, "" where it gives none."""

    driver: str
    count: int
    height: int
    width: int
    dtype: str
    grid: Grid | None
    names: tuple[str, ...]
    nodata: float | None


def read_header(path: Path) -> Header:
    """The header of an image.

    Raises:
        InputError: it cannot be read, has a table of colours, or declares a scale.
    """
    with _opened(path) as image:
        return _header(image)


def read_bands(path: Path, positions: Sequence[int]) -> tuple[NDArray[Any], Header]:
    """The bands at these positions, from 1, as [bands, H, W].

    They are of the file's own type, or of floats that hold its values where pixels are not valid:
    these are NaN. Which are valid is GDAL's own answer, by a mask inside or beside the file, or a
    nodata value. An alpha band that is opaque everywhere is passed over.

    Raises:
        InputError: as `read_header`; the file has fewer bands, or transparent pixels.
    """
    with _opened(path) as image:
        header = _header(image)
        if max(positions) > header.count:
            problem = f"has {header.count} bands, and band {max(positions)} is asked for"
            raise InputError(path, problem, remedy="correct the positions in the source's bands")
        alpha = [n for n, kind in enumerate(image.colorinterp, 1) if kind == ColorInterp.alpha]
        # A PNG without an alpha band may say by a colour which pixels are transparent.
        clear = header.driver == "PNG" and header.nodata is not None
        if (alpha and (image.read(alpha[0]) < np.iinfo(image.dtypes[alpha[0] - 1]).max).any()) or (
            clear and not image.dataset_mask().all()
        ):
            problem = "has transparent pixels"
            raise InputError(path, problem, remedy="write it without an alpha channel")
        pixels: NDArray[Any] = image.read([*positions])
        if any(image.mask_flag_enums[n - 1] != [MaskFlags.all_valid] for n in positions):
            invalid = image.read_masks([*positions]) == 0
            if invalid.any():
                pixels = pixels.astype(np.result_type(pixels.dtype, np.float32))
                pixels[invalid] = np.nan
        return pixels, header


def _header(image: Any) -> Header:
    alpha = sum(kind == ColorInterp.alpha for kind in image.colorinterp)
    return Header(
        driver=image.driver,
        count=image.count - alpha,
        height=image.height,
        width=image.width,
        dtype="float16" if is_float16(image) else image.dtypes[0],
        # A world file beside a picture, such as .pgw, does not say in which CRS it places it.
        grid=Grid.of(image) if image.driver == "GTiff" else None,
        names=tuple(text or "" for text in image.descriptions),
        nodata=image.nodata,
    )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if path.suffix.lower() not in _DRIVERS:
        raise InputError(path, "is no image", remedy=f"known are {', '.join(_DRIVERS)}")
    with opened(path, _DRIVERS[path.suffix.lower()], "an image") as image:
        check_size(path, image, "an image")
        if image.colorinterp[0] == ColorInterp.palette:
            remedy = "write it as RGB: gdal_translate -expand rgb IN OUT, say"
            raise InputError(path, "has a palette: its numbers are no colours", remedy=remedy)
        if "complex" in image.dtypes[0]:
            raise InputError(path, f"pixels are {image.dtypes[0]}", remedy="write magnitudes")
        check_unscaled(path, image)
        yield image

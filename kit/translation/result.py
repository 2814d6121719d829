"""The file that a translation writes: its unit, what it says of itself, and whether it is there.

In: a scene and the path of the file. Out: values in their unit. Refused by name: a file that is
there already, is the scene itself, or is too large for the disk.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

import kit
from kit.errors import InputError, OutputError
from kit.runs.weights import Weights
from kit.scaling import DN_RANGE, UINT16_MAX
from kit.sources.units import SourceUnits
from kit.storage.files import refuse_existing
from kit.storage.half_written import sweep_beside
from kit.tiles.names import SUFFIXES
from kit.tiles.tiff import GDAL_ERRORS
from kit.translation.radar_raster import RadarRaster

TAG = "kit_translation"
_STEPS = 255  # that a range has at least in whole numbers, as that of a picture


def unit_of(weights: Weights) -> tuple[float, float, str]:
    """What 0 and 1 are written as, and the unit of that."""
    if weights.variant.target == "minmax":
        return 0.0, float(UINT16_MAX), "65535 * (0 to 1, between the extremes of each window)"
    trained = SourceUnits.as_trained("dB", weights.units)
    low, high = trained.dn or DN_RANGE
    picture = trained.optical == "picture"
    unit = "that of the pictures that were trained on" if picture else "DN, reflectance * 10000"
    floats = pixels_of((low, high)).kind == "f"
    return low, high, f"{unit}; floats from {low:g} to {high:g}" if floats else unit


def tags_of(
    unit: str,
    engines: dict[str, dict[str, Any]],
    windows: tuple[int, int],
    radar: RadarRaster,
) -> dict[str, str]:
    """What a file says of itself."""
    by = (f"{name} ({each['name']}, {each['precision']})" for name, each in engines.items())
    return {
        "unit": unit,
        "predicted_by": ", ".join(by),
        "predicted_from": ", ".join(path.name for path in radar.paths),
        "windows": "{0}x{0}, overlapping by {1}".format(*windows),
        "software": f"sar-to-optical-kit {kit.__version__}",
    }


def check_out(radar: RadarRaster, out: Path) -> None:
    """Refuse to write over a file of the scene, or a GeoTIFF that is called something else.

    Raises:
        InputError: `out` is one of them, or has no suffix of a TIFF.
    """
    if out.suffix.lower() not in SUFFIXES:
        remedy = f"call it {out.with_suffix('.tif')}"
        raise InputError(out, "is to be a GeoTIFF, and is not called one", remedy=remedy)
    there = [path for path in radar.files if path.exists()] if out.exists() else []
    if any(os.path.samefile(path, out) for path in there):
        raise InputError(out, "is the radar scene itself", remedy="give another OUT")


def is_there(out: Path, wanted: str) -> bool:
    """Whether `out` is this translation already.

    Raises:
        BusyError: it is another file.
    """
    if out.exists():
        with suppress(*GDAL_ERRORS), rasterio.open(out, driver="GTiff") as file:
            if file.tags().get(TAG) == wanted:
                sweep_beside(out)
                return True
    refuse_existing(out, "give --overwrite, or another OUT", overwrite=False)
    return False


def check_space(out: Path, radar: RadarRaster, kind: np.dtype[Any], begun: Path) -> None:
    """Refuse a scene whose translation the disk cannot hold, unless it is begun already.

    Raises:
        OutputError: says how much is needed and how much is free.
    """
    if begun.exists():
        return
    folder = next(each for each in out.absolute().parents if each.exists())
    # Strips of uint16, the rows, and the file, whose overviews are a third of it.
    each = 3 * 2 + 3 * kind.itemsize + 4 * kind.itemsize
    needed, free = radar.height * radar.width * each, shutil.disk_usage(folder).free
    if needed > free:
        problem = f"needs up to {needed / 1e9:.3g} GB until it is there; {free / 1e9:.3g} are free"
        raise OutputError(f"{out}: {problem}\n  free disk space, or give another folder")


def pixels_of(span: tuple[float, float]) -> np.dtype[Any]:
    """What pixels of a range are: whole numbers, or floats where these would lose of it."""
    low, high = span
    whole = low >= 0 and high <= UINT16_MAX and high - low >= _STEPS
    return np.dtype(np.uint16 if whole else np.float32)


def convert(
    levels: NDArray[np.uint16], nodata: NDArray[np.bool_], span: tuple[float, float]
) -> NDArray[np.generic]:
    """Levels in the unit of the file; 0, or NaN of floats, stands for nodata alone."""
    low, high = span
    scaled = levels * np.float32((high - low) / UINT16_MAX) + np.float32(low)
    if pixels_of(span).kind == "f":
        scaled[:, nodata] = np.nan
        return scaled
    values: NDArray[np.uint16] = np.rint(scaled).clip(1, UINT16_MAX).astype(np.uint16)
    values[:, nodata] = 0
    return values

"""Small made tiles in the official layout, for the tests of what comes before predicting."""

import datetime
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from kit.tiles.names import S1_BANDS, S2_BANDS, SceneKey, TileName
from kit.tiles.tiff import read_raster, write_tile

SHARED = Path(__file__).parents[3] / "shared" / "data"


def key(place: int = 0, day: int = 0) -> SceneKey:
    """A place on the 0.02 degree grid, and a date `day` days after 2020-06-01."""
    lon, lat = f"{-55 + 0.02 * (place % 6):.2f}", f"{-4 + 0.02 * (place // 6):.2f}"
    return SceneKey(lon, lat, datetime.date(2020, 6, 1) + datetime.timedelta(days=day))


def radar(
    folder: Path, scene: SceneKey, *, size: int = 32, bands: tuple[str, ...] = S1_BANDS
) -> None:
    """Write a Sentinel-1 scene whose left half is forest and whose right half is water."""
    random = np.random.default_rng(_seed(scene))
    for band in bands:
        forest, water = (-7.5, -20.0) if band == "VV" else (-13.5, -27.0)
        pixels = random.normal(0, 1.5, (size, size)).astype(np.float32)
        pixels += np.where(np.arange(size) < size // 2, forest, water).astype(np.float32)
        write_tile(folder / "sent1", TileName("Sentinel1", band, scene), pixels)


def optical(
    folder: Path,
    scene: SceneKey,
    *,
    size: int = 32,
    cloud: int = 0,
    qa60: int = 0,
    nodata: int = 0,
    bands: tuple[str, ...] = S2_BANDS,
) -> None:
    """Write the Sentinel-2 scene of the same ground.

    `cloud`, `qa60` and `nodata` are how many of its first rows are white, flagged, or empty.
    """
    random = np.random.default_rng(_seed(scene) + 1)
    for band in bands:
        if band == "QA60":
            pixels = np.zeros((size, size), np.uint16)
            pixels[:qa60] = 1024
        else:
            forest, water = {"B4": (250, 900), "B3": (450, 700), "B2": (230, 500)}[band]
            pixels = np.where(np.arange(size) < size // 2, forest, water) + random.integers(
                0, 40, (size, size)
            )
            pixels = pixels.astype(np.uint16)
            pixels[:cloud] = 6000
            pixels[:nodata] = 0
        write_tile(folder / "sent2", TileName("Sentinel2", band, scene), pixels)


def in_float16(*tiles: Path) -> None:
    """Store tiles in floats of 16 bits, which GDAL reads as float32."""
    for tile in tiles:
        with rasterio.open(tile) as file:
            pixels, profile = file.read(), file.profile
        with rasterio.open(tile, "w", **(profile | {"dtype": "float32", "nbits": 16})) as file:
            file.write(pixels.astype(np.float32))


def world(folder: Path, places: int = 12, dates: int = 2, size: int = 32) -> Path:
    """Write clear scenes of both sensors, the optical one two days after each radar scene."""
    for place in range(places):
        for number in range(dates):
            radar(folder, key(place, 12 * number), size=size)
            optical(folder, key(place, 12 * number + 2), size=size)
    return folder


def read_tile(path: Path) -> NDArray[np.generic]:
    """The pixels [H, W] of a tile; those that are not valid are NaN, or 0 of whole numbers."""
    return read_raster(path).blanked()


@contextmanager
def moved() -> Iterator[None]:
    """The current folder lies elsewhere within the block."""
    here = Path.cwd()
    there = here.rename(here.with_name(f"{here.name}-moved"))
    try:
        yield
    finally:
        there.rename(here)


def _seed(scene: SceneKey) -> int:
    return zlib.crc32(str(scene).encode())

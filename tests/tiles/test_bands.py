"""Bands that do not fit together, and the size of a tile by its header."""

from pathlib import Path

import numpy as np
import pytest

from kit.errors import InputError
from kit.tiles.bands import read_bands, usual_size
from kit.tiles.names import TileName
from kit.tiles.tiff import write_tile
from tests.helpers.tiles import key


def write(tmp_path: Path, band: str, pixels: np.ndarray) -> Path:
    return write_tile(tmp_path, TileName("Sentinel2", band, key()), pixels)


def test_bands_of_different_size_are_refused_naming_both(tmp_path: Path) -> None:
    paths = [write(tmp_path, "B4", np.ones((8, 8), np.uint16)),
             write(tmp_path, "B3", np.ones((8, 9), np.uint16))]  # fmt: skip
    with pytest.raises(InputError, match=r"B3_.*is 8x9 where .*B4_.* is 8x8"):
        read_bands("Sentinel2", paths)


def test_another_pixel_type_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "B4", np.ones((8, 8), np.int16))
    for sensor in ("Sentinel1", "Sentinel2"):
        with pytest.raises(InputError, match=f"pixels are int16\n.*{sensor} tiles hold"):
            read_bands(sensor, [path])
    path = write(tmp_path, "B4", np.ones((8, 8), np.float32))
    assert read_bands("Sentinel1", [path]).dtype == np.float32


def test_the_size_is_that_of_most_headers_that_can_be_read(tmp_path: Path) -> None:
    damaged = write(tmp_path, "B2", np.ones((5, 5), np.uint16))
    damaged.write_bytes(b"II*\0")
    tile = write(tmp_path, "B3", np.ones((7, 9), np.uint16))
    other = write(tmp_path, "B4", np.ones((3, 3), np.uint16))
    gone = tmp_path / "gone.tiff"
    assert usual_size([gone, damaged, str(tile), other, other]) == (3, 3)
    assert usual_size([other, *[str(tile)] * 4999]) == (7, 9)
    assert usual_size([damaged]) is None and usual_size([]) is None


def test_where_some_headers_cannot_be_read_the_others_are(tmp_path: Path) -> None:
    tile, gone = write(tmp_path, "B3", np.ones((7, 9), np.uint16)), tmp_path / "gone.tiff"
    assert usual_size([gone, tile] * 60) == (7, 9)

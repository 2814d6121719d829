"""Tiles that are written and read again, and files that are no tiles."""

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio

from kit.errors import InputError
from kit.tiles.names import TileName
from kit.tiles.raster import Grid
from kit.tiles.tiff import (
    decode_tiff,
    encode_tiff,
    read_raster,
    tile_size,
    write_tile,
)
from tests.helpers.gdal import gdal_environment
from tests.helpers.tiles import key, read_tile


def test_pixels_survive_the_round_trip(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).normal(-10, 3, (33, 20)).astype(np.float32)
    path = write_tile(tmp_path, TileName("Sentinel1", "VV", key()), pixels)
    assert path.name == f"Sentinel1_VV_{key()}.tiff"
    np.testing.assert_array_equal(read_tile(path), pixels)


def test_the_same_pixels_give_the_same_bytes() -> None:
    pixels = np.arange(3 * 8 * 8, dtype=np.uint16).reshape(3, 8, 8)
    assert encode_tiff(pixels) == encode_tiff(pixels.copy())


def damaged(path: Path) -> Path:
    data = encode_tiff(np.ones((1, 64, 64), np.uint16))
    path.write_bytes(data[: len(data) // 2])
    return path


def text(path: Path) -> Path:
    path.write_text("hello")
    return path


def empty(path: Path) -> Path:
    path.touch()
    return path


def three_bands(path: Path) -> Path:
    path.write_bytes(encode_tiff(np.ones((3, 8, 8), np.uint16)))
    return path


@pytest.mark.parametrize("make", [damaged, text, empty, three_bands, lambda path: path])
def test_what_is_no_tile_is_refused_by_name(tmp_path: Path, make) -> None:
    path = make(tmp_path / "bad.tiff")
    with pytest.raises(InputError, match=r"bad\.tiff"):
        read_tile(path)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (os.mkfifo, "is not a regular file"),
        (Path.mkdir, "is not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
        (lambda path: path.symlink_to("nowhere"), "No such file"),
        (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
        (lambda path: None, "No such file"),
        (Path.touch, "is empty"),
    ],
)
def test_what_only_has_a_tiles_name_is_refused_at_once(tmp_path: Path, make, problem: str) -> None:
    path = tmp_path / "bad.tiff"
    make(path)
    with pytest.raises(InputError, match=rf"bad\.tiff.*{problem}"):
        read_tile(path)


def test_a_tile_with_broken_geokeys_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    grid = Grid((10.0, 0.0, 500000.0, 0.0, -10.0, 9500000.0), "EPSG:32722")
    data = bytearray(encode_tiff(np.zeros((1, 8, 8), np.uint16), grid))
    scale, keys = (number.to_bytes(2, "little") for number in (33550, 34737))
    assert data.count(scale) == 1
    path.write_bytes(data.replace(scale, keys))
    for read in (read_raster, tile_size):
        with pytest.raises(InputError, match=r"a\.tiff: not readable as a TIFF"):
            read(path)


@pytest.mark.parametrize("name", ["a\0b.tiff", "\udcff.tiff"])
def test_a_name_that_gdal_cannot_take_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="NUL, or is not UTF-8"):
        read_tile(tmp_path / name)


def test_a_header_cannot_ask_for_all_memory(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tiff"
    options = {"count": 1, "dtype": "uint16", "blockxsize": 4096, "blockysize": 4096}
    size = {"height": 60_000, "width": 60_000}
    rasterio.open(path, "w", driver="GTiff", tiled=True, SPARSE_OK=True, **options, **size).close()
    assert path.stat().st_size < 10_000
    with pytest.raises(InputError, match="60000x60000 by its header"):
        read_tile(path)


def test_a_declared_nodata_value_becomes_nan_or_zero(tmp_path: Path) -> None:
    for dtype, expected in (("float32", np.nan), ("uint16", 0)):
        path = tmp_path / f"{dtype}.tiff"
        with rasterio.open(
            path, "w", driver="GTiff", count=1, height=2, width=2, dtype=dtype, nodata=7
        ) as tile:
            tile.write(np.array([[[1, 7], [7, 2]]], dtype))
        np.testing.assert_array_equal(read_tile(path), [[1, expected], [expected, 2]])


@pytest.mark.parametrize(
    "setting",
    ["GDAL_TIFF_ENDIANNESS=BIG", "GTIFF_DONT_WRITE_BLOCKS=YES", "GTIFF_MAX_CUMULATED_MEM_USAGE=1"],
)
def test_gdals_settings_in_the_environment_change_no_byte(setting: str) -> None:
    pixels = np.random.default_rng(0).integers(1, 9999, (3, 32, 32)).astype(np.uint16)
    before = encode_tiff(pixels)
    name, value = setting.split("=")
    with gdal_environment(name, value):
        assert encode_tiff(pixels) == before
        assert (decode_tiff("x", before) == pixels).all()


def test_a_damaged_tile_is_none_whatever_the_environment_says(tmp_path: Path) -> None:
    path = tmp_path / "cut.tiff"
    path.write_bytes(encode_tiff(np.ones((1, 64, 64), np.float32))[:-4000])
    with (
        gdal_environment("GTIFF_IGNORE_READ_ERRORS", "YES"),
        pytest.raises(InputError, match="not readable"),
    ):
        read_tile(path)

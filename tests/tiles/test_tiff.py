"""Tile names, and tiles that are not what they should be."""

import datetime
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InputError
from kit.tiles.bands import read_bands
from kit.tiles.names import SceneKey, TileName
from kit.tiles.tiff import encode_tiff, read_tile, write_tile
from tests.helpers.tiles import key

NAME = "Sentinel1_VH_-54.48_-3.33_2016_10_09.tiff"


def test_an_official_name_is_read_longitude_first() -> None:
    name = TileName.parse(NAME)
    assert name == TileName(
        "Sentinel1", "VH", SceneKey("-54.48", "-3.33", datetime.date(2016, 10, 9))
    )
    assert str(name) == NAME


def test_a_band_may_hold_underscores_and_the_suffix_be_short() -> None:
    name = TileName.parse("Landsat8_QA_PIXEL_-54.48_-3.33_2016_10_09.tif")
    assert (name.sensor, name.band) == ("Landsat8", "QA_PIXEL")


@given(
    st.sampled_from(["VV", "B8A", "SR_B7", "ST_B10"]),
    st.integers(-18000, 18000),
    st.integers(-9000, 9000),
    st.dates(datetime.date(1984, 1, 1)),
)
def test_names_survive_the_round_trip(band: str, lon: int, lat: int, date: datetime.date) -> None:
    scene = SceneKey(f"{lon / 100:.2f}", f"{lat / 100:.2f}", date)
    name = TileName("Sentinel2", band, scene)
    assert TileName.parse(str(name)) == name
    assert SceneKey.parse(str(scene)) == scene


@pytest.mark.parametrize(
    "name",
    [
        "Sentinel1_VH_-54.48_-3.33_2016_10_09.png",
        "Sentinel1_VH_-54.48_-3.33_2016_10.tiff",
        "Sentinel1_VH_-54_-3_2016_10_09.tiff",
        "Sentinel1_VH_-54.48_-3.33_2016_02_30.tiff",
        "_VH_-54.48_-3.33_2016_10_09.tiff",
        "",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InputError):
        TileName.parse(name)


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


def write(tmp_path: Path, band: str, pixels: np.ndarray) -> Path:
    return write_tile(tmp_path, TileName("Sentinel2", band, key()), pixels)


def test_bands_of_different_size_are_refused_naming_both(tmp_path: Path) -> None:
    paths = [write(tmp_path, "B4", np.ones((8, 8), np.uint16)),
             write(tmp_path, "B3", np.ones((8, 9), np.uint16))]  # fmt: skip
    with pytest.raises(InputError, match=r"B3_.*is 8x9 where .*B4_.* is 8x8"):
        read_bands("Sentinel2", paths)


def test_another_pixel_type_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "B4", np.ones((8, 8), np.float32))
    with pytest.raises(InputError, match="float32"):
        read_bands("Sentinel2", [path])
    assert read_bands("Sentinel1", [path]).dtype == np.float32

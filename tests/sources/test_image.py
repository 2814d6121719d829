"""What a file declares of its pixels holds when it is converted, as it does for a tile."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from kit.sources.convert import Wanted
from kit.sources.find import find_tiles
from kit.sources.image import read_bands
from kit.tiles.reader import read_scene
from tests.helpers.sources import grey, scene, write_image

MASK = np.repeat([True, False], (20, 12)) & np.ones((32, 1), bool)
KINDS = ("inside", "beside", "nodata", "nodata beside")


def declare(path: Path, kind: str) -> None:
    """Have a file say that the pixels outside of `MASK` are not valid."""
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=kind == "inside"), rasterio.open(path, "r+") as file:
        if kind in ("inside", "beside"):
            file.write_mask(MASK)
            return
        pixels = file.read()
        pixels[:, ~MASK] = 77
        file.write(pixels)
        if kind == "nodata":
            file.nodata = 77
    if kind == "nodata beside":
        band = '<PAMRasterBand band="1"><NoDataValue>77</NoDataValue></PAMRasterBand>'
        Path(f"{path}.aux.xml").write_text(f"<PAMDataset>{band}</PAMDataset>")


def write_world(data: Path, kind: str) -> list[list[Path]]:
    """Tiles of two places, VV and B3 of which declare what is valid; those of the first."""
    for number in range(2):
        db, dn = scene(number)
        names = ("VV", "VH", "B4", "B3", "B2")
        for band, values in zip(names, (*db, *dn), strict=True):
            sensor = "Sentinel1" if band[0] == "V" else "Sentinel2"
            path = data / f"{sensor}_{band}_1.{number}_-2.5_2020_01_02.tiff"
            write_image(path, values[None])
            if band in ("VV", "B3"):
                declare(path, kind)
    tiles = [
        [data / f"Sentinel1_{band}_1.0_-2.5_2020_01_02.tiff" for band in ("VV", "VH")],
        [data / f"Sentinel2_{band}_1.0_-2.5_2020_01_02.tiff" for band in ("B4", "B3", "B2")],
    ]
    return tiles


def missing(tiles: list[list[Path]]) -> list[NDArray[Any]]:
    """Of each scene where its tiles hold nothing."""
    radar, optical = (
        read_scene(sensor, files)
        for sensor, files in zip(("Sentinel1", "Sentinel2"), tiles, strict=True)
    )
    return [np.isnan(radar), (optical == 0).all(axis=0)]


# The one that is given converts the images of one sensor; the others are linked.
@pytest.mark.parametrize("wanted", [{"DN": (0.0, 5000.0)}, {"VV": (-40.0, 10.0)}])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_valid_is_missing_in_tiles(
    tmp_path: Path, kind: str, wanted: dict[str, Any]
) -> None:
    given = write_world(tmp_path / "data", kind)
    expected = missing(given)
    assert [*map(np.mean, expected)] == [12 / 32 / 2, 12 / 32]
    assert find_tiles(tmp_path / "data", tmp_path / "work", wanted=Wanted(ranges=wanted))
    train = tmp_path / "work/tiles/train"
    tiles = [[train / path.name for path in files] for files in given]
    assert [tiles[sensor][0].is_symlink() for sensor in (0, 1)] == ["DN" in wanted, "VV" in wanted]
    for was, now in zip(expected, missing(tiles), strict=True):
        np.testing.assert_array_equal(was, now)


def test_a_mask_that_is_taken_away_holds_no_longer(tmp_path: Path) -> None:
    data, wanted = tmp_path / "data", Wanted(ranges={"DN": (0.0, 5000.0)})
    given = write_world(data, "beside")
    tiles = [[tmp_path / "work/tiles/train" / path.name for path in files] for files in given]
    for shares in ([12 / 32 / 2, 12 / 32], [0, 0]):
        assert find_tiles(data, tmp_path / "work", wanted=wanted)
        assert [*map(np.mean, missing(tiles))] == shares
        for path in data.glob("*.msk"):
            path.unlink()


def test_pictures_have_masks_too(tmp_path: Path) -> None:
    """0 is a number of a picture like any other: it does not say that a pixel is missing."""
    data = tmp_path / "data"
    for number in range(2):
        db, dn = scene(number)
        for path, pixels in (
            (data / "sar" / f"{number}.tif", grey(db[:1], -25, 0)),
            (data / "opt" / f"{number}.tif", grey(dn, 0, 3000)),
        ):
            pixels[:, 3] = 0
            declare(write_image(path, pixels), "beside")
    assert find_tiles(data, tmp_path / "work")
    train = tmp_path / "work/tiles/train"
    tiles = [sorted(train.glob("Sentinel1_*"))[:2], sorted(train.glob("Sentinel2_B*"))[:3]]
    radar, optical = missing(tiles)
    np.testing.assert_array_equal(radar, [~MASK, ~MASK])
    np.testing.assert_array_equal(optical, ~MASK)


def test_numbers_stay_where_some_are_not_valid(tmp_path: Path) -> None:
    values = np.array([[[0, 1, 65535], [77, 3, 4]]], np.uint16)
    path = write_image(tmp_path / "one.tif", values)
    pixels, header = read_bands(path, [1])
    assert str(pixels.dtype) == header.dtype == "uint16"
    with rasterio.open(path, "r+") as file:
        file.nodata = 77
    pixels, header = read_bands(path, [1])
    np.testing.assert_array_equal(pixels, [[[0, 1, 65535], [np.nan, 3, 4]]])
    assert header.dtype == "uint16"


def test_a_world_file_beside_a_picture_does_not_place_it(tmp_path: Path) -> None:
    path = write_image(tmp_path / "one.png", np.zeros((1, 4, 4), np.uint8))
    path.with_suffix(".pgw").write_text("10\n0\n0\n-10\n400000\n5400000\n")
    Path(f"{path}.aux.xml").write_text("<PAMDataset></PAMDataset>")
    assert read_bands(path, [1])[1].grid is None

"""Official tiles are read in the units that are said, whatever lies beside them."""

from pathlib import Path

import numpy as np
import pytest

from kit.errors import InputError
from kit.sources.convert import Wanted
from kit.sources.detect import is_official, only_tiles
from kit.sources.find import find_tiles
from kit.sources.radar import find_radar_images
from kit.tiles.catalog import catalog
from kit.tiles.reader import read_scene
from tests.helpers.sources import scene, write_image, write_pictures

POWER = Wanted(radar="power")


def write_power(folder: Path, number: int) -> None:
    """Official tiles of one place, with linear power for dB."""
    db, dn = scene(number)
    for band, values in zip(("VV", "VH", "B4", "B3", "B2"), (*10 ** (db / 10), *dn), strict=True):
        sensor = "Sentinel1" if band[0] == "V" else "Sentinel2"
        write_image(folder / f"{sensor}_{band}_1.{number}_-2.5_2020_01_02.tiff", values[None])


@pytest.fixture(params=["", "sent1", "sent2"])
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Tiles at the top or in a folder of theirs, beside other tiles, which no command reads."""
    data = tmp_path / "world"
    for number in range(2):
        write_power(data / request.param, number)
    write_power(data / "test", 2)
    (data / "landsat8").mkdir()
    return data


def check(tiles: Path) -> None:
    """The two places whose tiles a command reads where they lie, in dB."""
    scenes = catalog(tiles).of("Sentinel1")
    assert [each.key.lon for each in scenes] == ["1.0", "1.1"]
    for number, each in enumerate(scenes):
        found = read_scene("Sentinel1", each.files)
        np.testing.assert_allclose(found, scene(number)[0], atol=1e-4)


@pytest.mark.parametrize("source", [None, "multiearth"])
def test_a_unit_holds_beside_other_folders(world: Path, source: str | None) -> None:
    for _ in range(2):  # the second time the tiles that were made lie there too
        converted = find_tiles(world, world / "work", source, POWER)
        assert converted
        check(converted.train)
    assert find_tiles(world, world / "work") is None


@pytest.mark.parametrize("source", [None, "multiearth"])
def test_a_unit_of_what_is_predicted_holds_beside_other_folders(
    world: Path, source: str | None
) -> None:
    images = find_radar_images(world, world / "work", None, source, unit="power")
    assert images and images.convert() == []
    check(images.tiles)
    assert find_radar_images(world, world / "work", None) is None


def test_a_unit_of_two_layouts_is_refused(world: Path) -> None:
    write_pictures(world, 2)
    with pytest.raises(InputError, match="files of pairs and of multiearth"):
        find_tiles(world, world / "work", None, POWER)
    with pytest.raises(InputError, match="files of pairs and of multiearth"):
        find_radar_images(world, world / "work", None, unit="power")


def test_the_name_of_a_folder_says_nothing_of_its_files(tmp_path: Path) -> None:
    write_pictures(tmp_path / "data" / "site.nc", 2)
    assert not is_official(tmp_path / "data")
    data = write_pictures(tmp_path / "pictures.nc", 2)
    assert not is_official(data) and not only_tiles(data, None)
    converted = find_tiles(data, tmp_path / "work")
    assert converted and converted.source == "pairs"

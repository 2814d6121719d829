"""The place and the date that an image is given."""

from pathlib import Path

import pytest

from kit.sources.definition import find_definition
from kit.sources.listing import list_files, list_images
from kit.sources.places import MadeUp
from kit.sources.placing import place_all
from kit.sources.twins import find_twins
from kit.sources.units import SourceUnits
from tests.helpers.sources import scene, write_image


def test_a_date_that_is_none_is_listed_with_its_file(tmp_path: Path) -> None:
    source = tmp_path / "mine.toml"
    source.write_text(
        "[radar]\nfiles = ['s1/{date}.tif']\n[optical]\nfiles = ['s2/{date}.tif']\n"
        "bands = { B4 = 1, B3 = 2, B2 = 3 }\n"
    )
    for sensor, pixels in zip(("s1", "s2"), scene(0), strict=True):
        write_image(tmp_path / sensor / "2021-13-01.tif", pixels)
    definition, paths = find_definition(str(source)), ["s1/2021-13-01.tif", "s2/2021-13-01.tif"]
    twins, _ = find_twins(tmp_path, list_images(paths, definition, None), definition, paths)
    placed, rejected = place_all(tmp_path, twins, definition, SourceUnits(), MadeUp())
    assert not placed
    assert [item.reason for item in rejected] == [
        "2021-13-01.tif: 20211301 is no date of the calendar"
    ]


@pytest.mark.parametrize("word", ["spring", "Spring", "SPRING"])
def test_capitals_of_a_season_do_not_matter(tmp_path: Path, word: str) -> None:
    for sensor, pixels in zip(("s1", "s2"), scene(0), strict=True):
        write_image(tmp_path / f"{sensor}_1" / f"ROIs1_{word}_{sensor}_1_p1.tif", pixels)
    definition, paths = find_definition("sen12ms"), list_files(tmp_path)
    twins, _ = find_twins(tmp_path, list_images(paths, definition, None), definition, paths)
    placed, rejected = place_all(tmp_path, twins, definition, SourceUnits(), MadeUp())
    assert [str(scene.key.date) for scene in placed] == ["2017-04-15"] * 2 and not rejected

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


@pytest.mark.parametrize("word", ["spring", "Spring", "SPRING"])
def test_capitals_of_a_season_do_not_matter(tmp_path: Path, word: str) -> None:
    for sensor, pixels in zip(("s1", "s2"), scene(0), strict=True):
        write_image(tmp_path / f"{sensor}_1" / f"ROIs1_{word}_{sensor}_1_p1.tif", pixels)
    definition, paths = find_definition("sen12ms"), list_files(tmp_path)
    twins, _ = find_twins(tmp_path, list_images(paths, definition, None), definition, paths)
    placed, rejected = place_all(tmp_path, twins, definition, SourceUnits(), MadeUp())
    assert [str(scene.key.date) for scene in placed] == ["2017-04-15"] * 2 and not rejected

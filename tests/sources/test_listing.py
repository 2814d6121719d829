"""The images that a definition finds among paths."""

from pathlib import Path

import pytest

from kit.sources.definition import find_definition
from kit.sources.listing import list_images

NAMED = """
[radar]
files = ['{name}_{band}.tif']
bands = { VV = "VV", VH = "vh" }
[optical]
files = ['{name}_o_{band}.tif']
bands = { B4 = "B04", B3 = "B03", B2 = "B02" }
[twins]
apart = true
"""


@pytest.mark.parametrize("vv", ["VV", "vv", "Vv"])
def test_capitals_of_a_band_do_not_matter(tmp_path: Path, vv: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(NAMED)
    paths = [f"a/r_{vv}.tif", "a/r_VH.tif", "a/r_angle.tif"]
    found = list_images(paths, find_definition(str(path)), None)
    (image,) = found.radar.values()
    assert image.files == {"VV": f"a/r_{vv}.tif", "vh": "a/r_VH.tif"}


def test_a_file_that_is_written_as_the_definition_has_it_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(NAMED.replace('VV = "VV"', 'VV = "vv"'))
    for files in (["r_VV.tif", "r_vv.tif"], ["r_Vv.tif", "r_VV.tif", "r_vv.tif"]):
        found = list_images([*files, "r_vh.tif"], find_definition(str(path)), None)
        (image,) = found.radar.values()
        assert image.files == {"vv": "r_vv.tif", "vh": "r_vh.tif"}


def test_of_two_bands_that_differ_in_capitals_each_is_itself(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(NAMED.replace('VV = "VV", VH = "vh"', 'VV = "a", VH = "A"'))
    found = list_images(["r_A.tif", "r_a.tif"], find_definition(str(path)), None)
    (image,) = found.radar.values()
    assert image.files == {"A": "r_A.tif", "a": "r_a.tif"}

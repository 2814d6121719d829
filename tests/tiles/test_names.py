"""What the name of a tile says, and names that are none."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InputError
from kit.tiles.names import SceneKey, TileName

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

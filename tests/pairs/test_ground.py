"""The ground that pairs show, in metres, in any projection."""

import math
from pathlib import Path

import numpy as np
import pytest

from kit.ground import DEGREES_PER_PIXEL, Place, sharing_ground
from kit.sources.places import place_of
from kit.tiles.extent import extent_of, first_side, side_of
from kit.tiles.named_grid import named_grid
from kit.tiles.raster import Grid
from tests.helpers.sources import write_image

SIZE = 256


@pytest.mark.parametrize(
    ("crs", "corner", "pixel", "metres"),
    [
        ("EPSG:32633", (500000.0, 5400000.0), 10.0, 2560),  # on the central meridian
        ("EPSG:32633", (500000.0, 5400000.0), 20.0, 5120),
        ("EPSG:32633", (300000.0, 7600000.0), 10.0, 2790),  # turned by five degrees
        ("EPSG:4326", (13.0, 60.0), 1e-4, 2850),
    ],
)
def test_extent(crs: str, corner: tuple[float, float], pixel: float, metres: float) -> None:
    grid = Grid((pixel, 0.0, corner[0], 0.0, -pixel, corner[1]), crs)
    assert extent_of(grid, SIZE, SIZE) == pytest.approx(metres, rel=0.03)


@pytest.mark.parametrize(("shift", "shared"), [(5000, True), (5600, False)])
def test_tiles_of_20_m_overlap_by_their_metres(shift: float, shared: bool) -> None:
    grids = [
        Grid((20.0, 0.0, 500000.0 + east, 0.0, -20.0, 5400000.0), "EPSG:32633")
        for east in (0, shift)
    ]
    one, other = (place_of(grid, SIZE, SIZE) for grid in grids)
    assert one and other
    side = side_of(grids[0], SIZE, SIZE)
    assert (other in sharing_ground([other], [one], side)) == shared


def test_few_places_are_compared_and_none_is_missed() -> None:
    random = np.random.default_rng(0)
    lons = np.concatenate([random.uniform(10, 10.5, 300), [179.99, -179.99, 10.0, 10.0]])
    lats = np.concatenate([random.uniform(59.5, 60, 300), [60.0, 60.0, 89.99, -89.99]])
    places = [(f"{lon:.4f}", f"{lat:.4f}") for lon, lat in zip(lons, lats, strict=True)]
    others, span = [*places[::7], ("180.0", "60.0")], SIZE * DEGREES_PER_PIXEL

    def touch(one: Place, other: Place) -> bool:
        (lon, lat), (at_lon, at_lat) = (tuple(map(float, place)) for place in (one, other))
        east = abs((lon - at_lon + 180) % 360 - 180)
        shrunk = math.cos(math.radians(max(abs(lat), abs(at_lat))))
        return abs(lat - at_lat) < span and east * shrunk < span

    expected = {place for place in places if any(touch(place, other) for other in others)}
    assert sharing_ground(places, others, SIZE) == expected
    assert 40 < len(expected) < len(places)
    assert sharing_ground([], others, SIZE) == sharing_ground(places, [], SIZE) == set()


def test_what_only_its_name_places_has_pixels_of_10_m(tmp_path: Path) -> None:
    assert side_of(None, 120, SIZE) == side_of(Grid((2.0, 0, 0, 0, -2, 0), ""), 120, SIZE) == SIZE
    assert side_of(named_grid(("13.0", "60.0"), SIZE, SIZE), SIZE, SIZE) == SIZE
    plain, broken = tmp_path / "plain.tif", tmp_path / "broken.tif"
    placed = write_image(tmp_path / "20m.tif", np.zeros((1, 60, 64), np.uint16), corner=(5e5, 5e6))
    write_image(plain, np.zeros((1, 60, 64), np.uint16))
    broken.touch()
    size = (60, 64)
    assert first_side([broken, plain], size) == 64 and first_side([broken], size) == 0
    assert first_side([str(placed)], size) in (64, 65)

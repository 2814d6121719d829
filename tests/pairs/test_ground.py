"""The ground that pairs show, in metres, in any projection."""

import pytest

from kit.ground import sharing_ground
from kit.pairs.ground import extent_of
from kit.sources.places import place_of
from kit.tiles.raster import Grid

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
    side = round(extent_of(grids[0], SIZE, SIZE) / 10)
    assert (other in sharing_ground([other], [one], side)) == shared

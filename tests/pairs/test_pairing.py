"""Who is paired with whom, and which ground the hold-out keeps to itself."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from kit.pairs.pairing import pair
from kit.tiles.extent import extent_of
from kit.tiles.raster import Grid
from kit.tiles.rejection import tally
from tests.helpers.pairs import made, s1, s2
from tests.helpers.tiles import key


@given(st.lists(st.integers(0, 60), min_size=1, max_size=8), st.integers(0, 60), st.integers(0, 15))
def test_the_nearest_date_in_the_window_wins_the_earlier_of_two(
    radar_days: list[int], optical_day: int, window: int
) -> None:
    rows = [s1(key(0, day)) for day in sorted(set(radar_days))] + [s2(key(0, optical_day))]
    expected = min(set(radar_days), key=lambda day: (abs(day - optical_day), day))
    pairs = made(rows, window)
    if abs(expected - optical_day) <= window:
        assert [pair.radar for pair in pairs] == [key(0, expected)]
    else:
        assert not pairs


def test_places_do_not_mix_and_the_lonely_are_listed() -> None:
    rows = [s1(key(0)), s1(key(1), nodata=0.1), s2(key(0, 8)), s2(key(1)), s2(key(2))]
    pairs, rejected = pair(rows, window_days=7, max_cloud=0)
    assert not pairs
    assert tally(rejected) == {
        "no radar at the place": 2,
        "radar nodata": 1,
        "no radar in the window": 1,
    }


def test_sizes_must_agree() -> None:
    pairs, rejected = pair([s1(key()), s2(key(), size=120)], window_days=7, max_cloud=0)
    assert not pairs
    assert rejected[0].reason == "120x120, its radar 256x256"


def test_the_ground_is_that_of_the_optical_grid_or_else_of_the_radars() -> None:
    grid = Grid((20.0, 0.0, 5e5, 0.0, -20.0, 5.4e6), "EPSG:32633")
    bare = Grid((20.0, 0.0, 5e5, 0.0, -20.0, 5.4e6), "")
    cases = ((None, None), (grid, None), (None, grid), (bare, grid))
    rows = []
    for place, (radar, optical) in enumerate(cases):
        rows += [replace(s1(key(place)), grid=radar), replace(s2(key(place)), grid=optical)]
    metres = extent_of(grid, 256, 256)
    found, _ = pair(rows, window_days=7, max_cloud=0, ground=True)
    assert [each.ground_m for each in found] == [None, metres, metres, metres]
    found, _ = pair(rows, window_days=7, max_cloud=0)
    assert {each.ground_m for each in found} == {None}


def test_the_two_data_sets() -> None:
    rows = [s1(key(place)) for place in range(5)]
    rows += [s2(key(0)), s2(key(1), nodata=0.1), s2(key(2), qa60=0.1), s2(key(3), cloud=0.001)]
    assert [(p.dataset1, p.dataset2) for p in made(rows)] == [
        (True, True),
        (False, False),
        (False, False),
        (True, False),
    ]
    assert made(rows, max_cloud=0.001)[3].dataset2

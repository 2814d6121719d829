"""Who is paired with whom, and which ground the hold-out keeps to itself."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.errors import InputError
from kit.ground import DEGREES_PER_PIXEL
from kit.pairs.pairing import pair, split
from kit.pairs.table import holdout_pairs, train_pairs
from kit.tiles.names import SceneKey
from kit.tiles.rejection import tally
from tests.helpers.pairs import grid, made, s1, s2
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


@settings(max_examples=50)
@given(st.integers(15, 60), st.integers(1, 40), st.integers(0, 2**31))
def test_no_ground_of_the_hold_out_is_trained_on(places: int, holdout: int, seed: int) -> None:
    pairs = split(grid(places), holdout=holdout, by="blocks", seed=seed)
    held, trained = holdout_pairs(pairs), train_pairs(pairs, 1)
    assert len(held) == min(holdout, len(pairs) // 5)
    assert trained
    span = 256 * DEGREES_PER_PIXEL
    for one in held:
        for other in trained:
            apart = [abs(float(a) - float(b)) for a, b in zip(one.place, other.place, strict=True)]
            assert max(apart) >= span


def test_the_split_depends_on_the_seed_alone() -> None:
    def draw(seed: int) -> list[SceneKey]:
        pairs = split(grid(60), holdout=5, by="blocks", seed=seed)
        return [pair.optical for pair in holdout_pairs(pairs)]

    assert draw(3) == draw(3)
    assert len({tuple(draw(seed)) for seed in range(6)}) > 1


def test_small_tiles_far_apart_need_no_buffer() -> None:
    keys = [key(place) for place in range(30)]
    pairs = made([s1(k, size=120) for k in keys] + [s2(k, size=120) for k in keys])
    pairs = split(pairs, holdout=1000, by="blocks", seed=0)
    assert {pair.split for pair in pairs} == {"train", "holdout"}
    assert len(holdout_pairs(pairs)) == 6


def test_the_papers_split_is_random_and_has_no_buffer() -> None:
    pairs = split(grid(5), holdout=1000, by="random", seed=0)
    assert len(holdout_pairs(pairs)) == 4
    assert len(train_pairs(pairs, 2)) == 16


def test_only_clear_pairs_are_held_out() -> None:
    keys = [key(place) for place in range(20)]
    rows = [s1(k) for k in keys] + [s2(k, cloud=0.5 * (i % 2)) for i, k in enumerate(keys)]
    pairs = split(made(rows), holdout=1000, by="random", seed=0)
    assert len(holdout_pairs(pairs)) == 2
    assert all(pair.dataset2 for pair in holdout_pairs(pairs))


def test_few_pairs_give_no_hold_out() -> None:
    assert not holdout_pairs(split(grid(1), holdout=1000, by="blocks", seed=0))


def test_a_hold_out_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="random"):
        split(grid(1, dates=10), holdout=1000, by="blocks", seed=0)


def ground(lon: float, lat: float) -> tuple[float, float]:
    """Metres to the east, at this latitude, and to the north."""
    return lon * 111_320 * math.cos(math.radians(lat)), lat * 110_574


@pytest.mark.parametrize(
    "places",
    [
        [(10 + 0.04 * i, 60 + 0.02 * j) for i in range(6) for j in range(8)],
        [(lon, -16.5 + 0.02 * j) for j in range(8) for lon in
         (179.96, 179.98, -180.0, -179.98, -179.96, -179.94)],
        [(lon, 78 + 0.02 * j) for j in range(8) for lon in (179.9, -179.98, -179.9, 0.1, 0.2, 0.3)],
    ],
    ids=["60 degrees north", "antimeridian", "Svalbard and the antimeridian"],
)  # fmt: skip
def test_tiles_of_metres_do_not_overlap_the_hold_out_anywhere(places) -> None:
    date = key().date
    keys = [SceneKey(f"{lon:.2f}", f"{lat:.2f}", date) for lon, lat in places]
    pairs = split(made([s1(k) for k in keys] + [s2(k) for k in keys]), holdout=2, by="blocks",
                  seed=0)  # fmt: skip
    held, trained = holdout_pairs(pairs), train_pairs(pairs, 1)
    assert held and trained
    for one in held:
        for other in trained:
            (lon, lat), (their_lon, their_lat) = (map(float, p.place) for p in (one, other))
            turn = (lon - their_lon + 180) % 360 - 180
            east, north = ground(turn, (lat + their_lat) / 2)[0], ground(0, lat - their_lat)[1]
            assert abs(east) >= 2560 or abs(north) >= 2560, (one.place, other.place)

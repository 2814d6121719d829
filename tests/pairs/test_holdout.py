"""Which pairs are held out: of several blocks, showing what all show, and no ground twice."""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.errors import InputError
from kit.ground import DEGREES_PER_PIXEL, Places
from kit.pairs.blocks import block_of
from kit.pairs.colors import colors_of, with_colors
from kit.pairs.holdout import split
from kit.pairs.kinds import SEEN_PLACES, UNSEEN_PLACES, kinds
from kit.pairs.table import Pair, holdout_pairs, read_pairs, train_pairs, write_pairs
from kit.tiles.bands import read_bands
from kit.tiles.names import RGB_BANDS, SceneKey, TileName
from tests.helpers.pairs import grid, made, s1, s2, spread
from tests.helpers.tiles import key, world


@pytest.mark.slow
@settings(max_examples=50)
@given(st.integers(15, 60), st.integers(1, 40), st.integers(0, 2**31))
def test_no_ground_of_the_hold_out_is_trained_on(places: int, holdout: int, seed: int) -> None:
    pairs = split(grid(places), holdout=holdout, by="blocks", seed=seed)
    held, trained = holdout_pairs(pairs), train_pairs(pairs, 1)
    assert len(held) == min(holdout, len(pairs) // 5)
    assert trained
    places_of = [np.array([pair.place for pair in part], np.float64) for part in (held, trained)]
    apart = np.abs(places_of[0][:, None] - places_of[1]).max(axis=-1)
    assert apart.min() >= 256 * DEGREES_PER_PIXEL


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


def test_a_small_hold_out_lies_in_many_blocks() -> None:
    for seed in range(5):
        pairs = split(spread(60), holdout=8, by="blocks", seed=seed)
        assert len({block_of(pair.place) for pair in holdout_pairs(pairs)}) == 8


def test_a_spread_that_would_cost_the_training_too_much_is_not_made() -> None:
    pairs = split(grid(100, dates=1), holdout=20, by="blocks", seed=0)  # 6 x 17 tiles, no gap
    lost = sum(pair.split == "buffer" for pair in pairs)
    assert len(holdout_pairs(pairs)) == 20 and lost <= 30


def test_the_hold_out_shows_what_all_pairs_show() -> None:
    """Of 60 scenes of water, 40 of forest and 20 of fields, 12 are held out."""
    random = np.random.default_rng(2)
    kinds_of = [(0.02, 0.03, 0.05)] * 60 + [(0.03, 0.07, 0.03)] * 40 + [(0.3, 0.3, 0.2)] * 20
    random.shuffle(kinds_of)
    pairs = tuple(
        replace(pair, color=tuple(float(x * random.uniform(0.9, 1.1)) for x in color))
        for pair, color in zip(spread(120), kinds_of, strict=True)
    )
    original = {pair.optical: color for pair, color in zip(pairs, kinds_of, strict=True)}
    for seed in range(4):
        held = holdout_pairs(split(pairs, holdout=12, by="blocks", seed=seed))
        counts = Counter(original[pair.optical] for pair in held)
        assert abs(counts[(0.02, 0.03, 0.05)] - 6) <= 2 and abs(counts[(0.03, 0.07, 0.03)] - 4) <= 2
        assert counts[(0.3, 0.3, 0.2)] >= 1


@settings(max_examples=25)
@given(st.integers(3, 30), st.integers(2, 5), st.integers(1, 30), st.integers(0, 99))
def test_dates_are_held_out_of_places_that_are_trained_on(
    places: int, dates: int, holdout: int, seed: int
) -> None:
    pairs = split(spread(places, dates), holdout=holdout, by="dates", seed=seed)
    held, trained = holdout_pairs(pairs), train_pairs(pairs, 1)
    assert len(held) == min(holdout, len(pairs) // 5)
    assert kinds(held, trained) == {SEEN_PLACES: held}
    left = Counter(pair.place for pair in trained)
    assert all(left[place] >= dates / 2 for place in {pair.place for pair in pairs})


def test_nothing_that_shows_the_ground_on_the_day_is_trained_on() -> None:
    pairs = split(grid(36, dates=4), holdout=6, by="dates", seed=1)
    span, near = 256 * DEGREES_PER_PIXEL, 0
    for one in holdout_pairs(pairs):
        for other in train_pairs(pairs, 1):
            apart = [abs(float(a) - float(b)) for a, b in zip(one.place, other.place, strict=True)]
            if max(apart) < span:
                near += 1
                assert one.radar.date != other.radar.date
                assert one.optical.date != other.optical.date
    assert near


def test_both_kinds_are_half_of_the_hold_out_each() -> None:
    pairs = split(spread(40, 3), holdout=12, by="both", seed=0)
    found = kinds(holdout_pairs(pairs), train_pairs(pairs, 1))
    assert {kind: len(those) for kind, those in found.items()} == {
        UNSEEN_PLACES: 6,
        SEEN_PLACES: 6,
    }


def test_places_of_one_date_have_none_to_hold_out() -> None:
    with pytest.raises(InputError, match="no place has two dates"):
        split(spread(20), holdout=4, by="dates", seed=0)


def test_a_place_without_a_date_to_spare_costs_no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    whole = Places.sharing_ground

    def sharing_ground(self: Places, others: object) -> object:
        asked.append(others)
        return whole(self, others)

    monkeypatch.setattr(Places, "sharing_ground", sharing_ground)
    single, double = spread(200, 1), spread(3, 2)
    pairs = split([*single, *double[-2:]], holdout=4, by="dates", seed=0)
    assert len(holdout_pairs(pairs)) == len(asked) == 1


def test_the_papers_split_is_of_seen_places() -> None:
    pairs = split(spread(20, 4), holdout=10, by="random", seed=0)
    found = kinds(holdout_pairs(pairs), train_pairs(pairs, 1))
    assert set(found) == {SEEN_PLACES}


@pytest.mark.parametrize("by", ["dates", "both"])
def test_every_split_depends_on_the_seed_alone(by) -> None:
    def draw(seed: int) -> list[Pair]:
        return [*holdout_pairs(split(spread(40, 3), holdout=9, by=by, seed=seed))]

    assert draw(3) == draw(3) and draw(3) != draw(4)


def test_colours_are_read_of_a_bounded_number_of_scenes_spread_over_the_places(
    tmp_path: Path,
) -> None:
    world(tmp_path, places=4, dates=3)
    pairs = tile_pairs(tmp_path)
    colored = with_colors(pairs, most=5)
    known = Counter(pair.place for pair in colored if pair.color)
    assert known.total() == 5 and len(known) == 4
    assert all(colors_of(colored)) and colors_of(pairs) == [None] * len(pairs)
    one = next(pair for pair in colored if pair.color)
    dn = read_bands("Sentinel2", one.optical_paths)
    assert one.color == pytest.approx((dn / 3000).mean(axis=(1, 2)), abs=1e-5)


def test_colours_survive_the_table_and_impossible_ones_are_refused(tmp_path: Path) -> None:
    pairs = [replace(pair, color=(0.1, 0.2, 0.3)) for pair in grid(2)]
    pairs[1] = replace(pairs[1], color=None)
    write_pairs(tmp_path / "pairs.parquet", pairs)
    assert list(read_pairs(tmp_path / "pairs.parquet")) == pairs
    for color in ((0.1, 0.2), (0.1, 0.2, 3.0)):
        write_pairs(tmp_path / "pairs.parquet", [replace(pairs[0], color=color)])  # type: ignore[arg-type]
        with pytest.raises(InputError, match="its row 1 has the colour"):
            read_pairs(tmp_path / "pairs.parquet")


def test_a_table_of_an_earlier_kit_has_no_colours(tmp_path: Path) -> None:
    path = tmp_path / "pairs.parquet"
    write_pairs(path, grid(2))
    table = pq.read_table(path).drop_columns(["color"]).replace_schema_metadata(None)
    pq.write_table(table, path)
    assert read_pairs(path) == grid(2)


def tile_pairs(folder: Path) -> tuple[Pair, ...]:
    """The pairs of the tiles in a folder, as `world` writes them."""

    def at(scene: SceneKey, sensor: str, band: str) -> Path:
        kind = "sent1" if sensor == "Sentinel1" else "sent2"
        return folder / kind / str(TileName(sensor, band, scene))

    return tuple(
        replace(
            pair,
            optical_paths=tuple(at(pair.optical, "Sentinel2", band) for band in RGB_BANDS),
            height=32,
            width=32,
        )
        for pair in made(
            [s1(key(place, 12 * number), size=32) for place in range(4) for number in range(3)]
            + [
                s2(key(place, 12 * number + 2), size=32)
                for place in range(4)
                for number in range(3)
            ]
        )
    )

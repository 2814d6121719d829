"""What the options do to Dataset-2, against counts by hand and by the reference."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kit.errors import InputError
from kit.screening.rule import CloudRule, cloud_mask
from kit.screening.screen import screen
from kit.screening.sensitivity import Effects, effects
from kit.screening.table import SCENES
from kit.tiles.bands import read_bands
from kit.tiles.names import RGB_BANDS, TileName
from tests.helpers.clouds import paint_square, table_of
from tests.helpers.tiles import SHARED, key, optical, radar


@pytest.fixture
def five(tmp_path: Path) -> Path:
    """Five scenes of Dataset-1, of 1024 pixels each, two others, and a radar scene."""
    data = tmp_path / "data"
    optical(data, key(0))
    for place, size, dn in ((1, 1, 2200), (2, 3, 6000), (4, 1, 2000)):
        optical(data, key(place))
        paint_square(data, key(place), 10, 10, size, dn)
    optical(data, key(3), cloud=16)
    optical(data, key(5), qa60=1)
    optical(data, key(6), nodata=1)
    radar(data, key(0))
    return data


def kept(found: Effects) -> dict[tuple[str, str], int]:
    rows = {(row.option, row.value): row.kept for row in found.rows}
    assert len(rows) == len(found.rows)
    return rows


def test_the_numbers_are_those_of_counting_by_hand(five: Path) -> None:
    found = effects(table_of(five), CloudRule(), 0.0)
    assert (found.scenes, found.sampled) == (5, 5)
    assert [(row.option, row.value, row.kept) for row in found.rows] == [
        ("as set", "-", 2),
        ("threshold", "0.33", 1),
        ("threshold", "0.38", 1),
        ("threshold", "0.48", 3),
        ("threshold", "0.53", 3),
        ("scale", "4000", 1),
        ("scale", "6000", 3),
        ("min_area", "4", 3),
        ("min_area", "16", 4),
        ("min_area", "64", 4),
        ("max_cloud", "0.0001", 2),
        ("max_cloud", "0.001", 3),
        ("max_cloud", "0.01", 4),
    ]


def test_reach_is_tried_where_some_cloud_is_admitted_alone(five: Path) -> None:
    path, rule = table_of(five), CloudRule(dilate=1)
    options = [{row.option for row in effects(path, rule, limit).rows} for limit in (0.0, 0.01)]
    assert "dilate" not in options[0] and "dilate" in options[1]


@pytest.mark.slow
def test_every_row_is_what_the_reference_counts_with_that_option(tmp_path: Path) -> None:
    rng = random.Random(1)
    for place in range(40):
        # Two sizes, so that a chunk has several batches.
        size = 32 if place % 3 else 24
        optical(tmp_path / "data", key(place), size=size)
        for _ in range(rng.randrange(4)):
            spot = rng.randrange(size), rng.randrange(size)
            paint_square(
                tmp_path / "data", key(place), *spot, rng.randrange(1, 9), rng.randrange(1000, 6000)
            )
    now, limit = CloudRule(scale=4500, threshold=0.4, min_area=5, dilate=2), 0.02
    found = effects(table_of(tmp_path / "data", now), now, limit)
    scenes = []
    for place in range(40):
        names = [str(TileName("Sentinel2", band, key(place))) for band in RGB_BANDS]
        scenes.append(read_bands("Sentinel2", [tmp_path / "data/sent2" / name for name in names]))
    kinds = {"threshold": float, "scale": int, "min_area": int, "dilate": int}
    for row in found.rows:
        rule, allowed = now, limit
        if row.option in kinds:
            rule = replace(now, **{row.option: kinds[row.option](row.value)})
        elif row.option == "max_cloud":
            allowed = float(row.value)
        by_hand = sum(cloud_mask(scene, rule).mean() <= allowed for scene in scenes)
        assert row.kept == by_hand, row
    options = [(row.option, row.value) for row in found.rows]
    assert ("min_area", "1") in options and ("dilate", "0") in options, "what is on can be off"
    assert ("dilate", "2") not in options, "that is the rule as it is"
    assert len(set(kept(found).values())) > 4


def test_a_sample_is_spread_evenly_and_is_the_same_each_time(tmp_path: Path) -> None:
    for place in range(12):
        optical(tmp_path / "data", key(0, place), cloud=8 * (place < 4), size=16)
    path = table_of(tmp_path / "data")
    found = effects(path, CloudRule(), 0.0, sample=3)
    assert (found.scenes, found.sampled, found.rows[0].kept) == (12, 3, 2), "one of each four"
    assert effects(path, CloudRule(), 0.0, sample=3) == found
    assert effects(path, CloudRule(), 0.0, sample=6).rows[0].kept == 4, "one of each two"
    assert effects(path, CloudRule(), 0.0, sample=12).rows[0].kept == 8, "all"


def test_a_sample_does_not_meet_the_seasons(tmp_path: Path) -> None:
    for place in range(16):
        for day in range(4):
            optical(tmp_path / "data", key(place, day), cloud=8 * (day == 0), size=16)
    found = effects(table_of(tmp_path / "data"), CloudRule(), 0.0, sample=16)
    assert found.sampled == 16
    assert 0 < found.rows[0].kept < 16


def test_a_scene_that_vanished_is_left_out(five: Path) -> None:
    path = table_of(five)
    (five / "sent2" / f"Sentinel2_B3_{key(0)}.tiff").unlink()
    found = effects(path, CloudRule(), 0.0)
    assert (found.scenes, found.sampled) == (5, 4)
    assert found.rows[0].kept == 1


def test_nothing_is_left_and_everything_is_left_out(five: Path) -> None:
    path = table_of(five)
    for file in (five / "sent2").iterdir():
        file.unlink()
    found = effects(path, CloudRule(), 0.0)
    assert (found.scenes, found.sampled) == (5, 0)
    assert {row.kept for row in found.rows} == {0}


@pytest.mark.parametrize("optical_too", [False, True])
def test_without_a_scene_of_dataset_1_there_are_no_rows(tmp_path: Path, optical_too: bool) -> None:
    radar(tmp_path / "data", key(0))
    if optical_too:
        optical(tmp_path / "data", key(0), qa60=1)
    assert effects(table_of(tmp_path / "data"), CloudRule(), 0.0) == Effects(0, 0, ())


@pytest.mark.parametrize(("cloud", "left"), [(0, 3), (16, 0)])
def test_all_kept_and_all_dropped(tmp_path: Path, cloud: int, left: int) -> None:
    for place in range(3):
        optical(tmp_path / "data", key(place), cloud=cloud)
    found = effects(table_of(tmp_path / "data"), CloudRule(), 0.0)
    assert {row.kept for row in found.rows} == {left}


def test_options_stay_in_their_range(tmp_path: Path) -> None:
    optical(tmp_path / "data", key(0))
    path = table_of(tmp_path / "data")
    values: dict[str, list[str]] = {}
    for row in effects(path, CloudRule(scale=65535, threshold=0.97), 0.01).rows:
        values.setdefault(row.option, []).append(row.value)
    assert values["threshold"] == ["0.87", "0.92", "1"]
    assert values["scale"] == ["52400"]
    assert values["max_cloud"] == ["0", "0.0001", "0.001"]
    rows = effects(path, CloudRule(scale=1, threshold=-1.0), 0.0).rows
    assert [row.value for row in rows if row.option == "threshold"] == ["-0.95", "-0.9"]
    assert not any(row.option == "scale" for row in rows)


def test_progress_is_told(tmp_path: Path) -> None:
    for place in range(40):
        optical(tmp_path / "data", key(place), size=8)
    told: list[tuple[int, int]] = []
    effects(table_of(tmp_path / "data"), CloudRule(), 0.0,
            advance=lambda done, total, words="": told.append((done, total)))  # fmt: skip
    assert told == [(1, 40), (40, 40)]


def test_what_cannot_be_done_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such table"):
        effects(tmp_path / "scenes.parquet", CloudRule(), 0.0)
    with pytest.raises(InputError, match="sample"):
        effects(tmp_path / "scenes.parquet", CloudRule(), 0.0, sample=0)


@pytest.mark.parametrize(
    ("name", "scenes", "as_set", "specks"),
    [("multiearth-sample", 13, 5, 6), ("europe-pairs", 52, 36, 43)],
)
def test_real_scenes(tmp_path: Path, name: str, scenes: int, as_set: int, specks: int) -> None:
    if not (SHARED / name).is_dir():
        pytest.skip(f"{SHARED / name} is not here")
    screen(SHARED / name, tmp_path, rule=CloudRule())
    found = effects(tmp_path / SCENES, CloudRule(), 0.0)
    assert (found.scenes, found.sampled) == (scenes, scenes)
    assert kept(found)["as set", "-"] == as_set
    assert kept(found)["max_cloud", "0.001"] == specks
    thresholds = [row.kept for row in found.rows if row.option == "threshold"]
    assert thresholds == sorted(thresholds) and np.ptp(thresholds) > 0

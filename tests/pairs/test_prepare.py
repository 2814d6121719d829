"""From a folder of tiles to the tables that training reads."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from kit.errors import InputError
from kit.pairs.hints import warnings
from kit.pairs.prepare import prepare
from kit.pairs.summary import Summary
from kit.pairs.table import fingerprint, holdout_pairs, read_pairs
from kit.screening.rule import CloudRule
from tests.helpers.pairs import grid
from tests.helpers.tiles import SHARED, key, optical, radar, world


def prepared(data: Path, work: Path, **settings) -> Summary:
    return prepare(data, work, rule=CloudRule(), **settings)


def test_the_numbers_add_up_and_every_loss_is_listed(tmp_path: Path) -> None:
    data = world(tmp_path / "data", places=12, dates=2)
    optical(data, key(0, 3), cloud=4)
    optical(data, key(0, 4), qa60=4)
    optical(data, key(0, 5), nodata=4)
    optical(data, key(0, 40))
    optical(data, key(1, 3), bands=("B4", "B3", "QA60"))
    radar(data, key(30), bands=("VH",))
    (data / "sent2" / "photo.tiff").touch()
    bad = data / "sent1" / f"Sentinel1_VV_{key(2)}.tiff"
    bad.write_bytes(b"not a tile")
    work = tmp_path / "work"
    summary = prepared(data, work, split_by="random")
    assert (summary.scenes_s1, summary.scenes_s2) == (23, 28)
    # The optical scene of the bad radar tile has its place's other radar scene 10 days away.
    assert (summary.pairs, summary.dataset1, summary.dataset2) == (26, 24, 23)
    assert (summary.holdout, summary.train1, summary.train2) == (4, 20, 19)
    assert summary.dropped == {
        "missing band": 2,
        "no radar in the window": 2,
        "name": 1,
        "unreadable": 1,
        "optical nodata": 1,
        "QA60 cloud": 1,
        "heuristic cloud": 1,
    }
    rows = list(csv.DictReader((work / "rejected.csv").open()))
    assert len(rows) == 6
    assert any(bad.name in row["reason"] for row in rows)
    written = json.loads((work / "summary.json").read_text())
    assert written["dropped"] == summary.dropped
    assert written["pairs_sha256"] == fingerprint(read_pairs(work / "pairs.parquet"))
    assert written["settings"]["threshold"] == CloudRule().threshold
    assert len(holdout_pairs(read_pairs(work / "pairs.parquet"))) == 4


def test_paths_do_not_depend_on_the_current_folder(tmp_path: Path, monkeypatch) -> None:
    world(tmp_path / "data", places=1, dates=1)
    monkeypatch.chdir(tmp_path)
    prepared(Path("data"), Path("work"))
    assert all(path.is_absolute() for path in read_pairs(Path("work/pairs.parquet"))[0].radar_paths)


def test_no_pair_in_the_window_says_why(tmp_path: Path) -> None:
    radar(tmp_path / "data", key(0, 0))
    optical(tmp_path / "data", key(0, 9))
    with pytest.raises(InputError, match=r"no pair within 7 days(.|\n)*--window-days 9 or more"):
        prepared(tmp_path / "data", tmp_path / "work")
    assert "9 days away" in (tmp_path / "work" / "failed.csv").read_text()
    assert prepared(tmp_path / "data", tmp_path / "work", window_days=9).pairs == 1
    assert not (tmp_path / "work" / "failed.csv").exists()


def test_a_failure_leaves_the_tables_of_before(tmp_path: Path) -> None:
    work = tmp_path / "work"
    prepared(world(tmp_path / "data", places=2), work)
    before = {path: path.read_bytes() for path in work.rglob("*.*")}
    optical(tmp_path / "lonely", key())
    with pytest.raises(InputError, match=r"no Sentinel-1 scene"):
        prepared(tmp_path / "lonely", work)
    tables = ("scenes.parquet", "pairs.parquet", "rejected.csv", "summary.json")
    assert {
        path: path.read_bytes() for path in map(work.joinpath, tables)
    }.items() <= before.items()
    assert before.keys() <= {*work.rglob("*.*")}


def no_optical(data: Path) -> None:
    radar(data, key())


def no_qa60(data: Path) -> None:
    for place in range(3):
        radar(data, key(place))
        optical(data, key(place), bands=("B4", "B3", "B2"))


def misspelt(data: Path) -> None:
    radar(data, key())
    optical(data, key())
    for path in list(data.rglob("Sentinel2*")):
        path.rename(path.with_name(path.name.replace("Sentinel2", "Sentinell2")))


def misnamed(data: Path) -> None:
    radar(data, key())
    optical(data, key())
    for path in list(data.rglob("Sentinel2*")):
        path.rename(path.with_name("tile " + path.name))


def unreadable(data: Path) -> None:
    radar(data, key())
    optical(data, key())
    for path in data.rglob("Sentinel2*"):
        path.write_bytes(b"II*")


def other_digits(data: Path) -> None:
    radar(data, key())
    optical(data, key(1))


def other_sizes(data: Path) -> None:
    radar(data, key())
    optical(data, key(), size=64)


def far_and_of_other_sizes(data: Path) -> None:
    radar(data, key(0, 0))
    optical(data, key(0, 100), size=64)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (no_optical, r"no Sentinel-2 scene\n  give the folder that holds both sensors"),
        (no_qa60, r"no Sentinel-2 scene is complete: 3 of 3 have no QA60\n  export QA60 too"),
        (misspelt, r"no tile of Sentinel2, but 4 of Sentinell2\n  rename them to Sentinel2_"),
        (misnamed, r"no tile of Sentinel2; 4 files have other names, such as tile Sen"),
        (unreadable, r"no Sentinel-2 scene can be read \(unreadable: 1\)(.|\n)*fetch its tiles"),
        (other_digits, r"no pair within 7 days \(no radar at the place: 1\)\n  both sensors must"),
        (
            far_and_of_other_sizes,
            r"\(no radar in the window: 1\)\n  export the tiles of both sensors at one size; see ",
        ),
        (other_sizes, r"\(sizes differ: 1\)\n  export the tiles of both sensors at one size"),
    ],
)
def test_the_remedy_is_that_of_the_dominant_reason(tmp_path: Path, make, expected: str) -> None:
    make(tmp_path / "data")
    with pytest.raises(InputError, match=expected) as caught:
        prepared(tmp_path / "data", tmp_path / "work")
    assert "()" not in str(caught.value)


@pytest.mark.parametrize(
    ("defect", "expected"),
    [
        ({"qa60": 4}, "QA60 cloud: 3; Dataset-1 has 0. What QA60 marks"),
        ({"cloud": 4}, "cloud by the rule: 3; Dataset-1 has 3. The rule finds cloud above 0.43"),
        ({"nodata": 4}, "optical nodata: 3; Dataset-1 has 0. Scenes at the edge"),
    ],
)
def test_an_empty_dataset_2_is_a_warning_with_what_removed_most(
    tmp_path: Path, defect: dict[str, int], expected: str
) -> None:
    for place in range(3):
        radar(tmp_path / "data", key(place))
        optical(tmp_path / "data", key(place), **defect)
    told: list[str] = []
    prepared(tmp_path / "data", tmp_path / "work", report=told.append)
    assert len(told) == 1 and expected in told[0]
    assert len(read_pairs(tmp_path / "work" / "pairs.parquet")) == 3


@pytest.mark.parametrize(
    ("places", "holdout", "expected"),
    [
        (6, 0, "--holdout is 0, so only folds"),
        (3, 9, "a fifth of 3 pairs is less than one"),
        (30, 1, "one pair"),
        (30, 9, ""),
    ],
)
def test_a_missing_holdout_is_a_warning(
    tmp_path: Path, places: int, holdout: int, expected: str
) -> None:
    told: list[str] = []
    data = world(tmp_path / "data", places=places, dates=1)
    prepared(data, tmp_path / "work", holdout=holdout, report=told.append)
    assert [expected in line for line in told] == [True] * bool(expected)


@pytest.mark.parametrize(
    ("by", "places", "folds"),
    [("blocks", 8, True), ("blocks", 1, False), ("dates", 8, False), ("source", 8, False)],
)
def test_folds_are_named_where_they_can_score_instead(by: str, places: int, folds: bool) -> None:
    pairs = [replace(pair, split="train") for pair in grid(places, 8 // places)]
    pairs[0] = replace(pairs[0], split="holdout")
    (line,) = warnings(pairs, {}, CloudRule(), holdout=1, by=by)
    assert "a hold-out of one pair" in line
    assert ("give --holdout 0 and train in folds" in line) == folds


def test_a_validation_part_without_a_clear_pair_is_not_called_a_small_world() -> None:
    (line,) = warnings(grid(30, 1), {}, CloudRule(), holdout=1000, by="blocks")
    assert "no pair of the validation part" in line and "--split blocks" in line


def test_a_little_cloud_may_be_admitted(tmp_path: Path) -> None:
    radar(tmp_path / "data", key())
    optical(tmp_path / "data", key(), cloud=1)
    assert prepared(tmp_path / "data", tmp_path / "work", max_cloud=1 / 32).dataset2 == 1


@pytest.mark.skipif(not SHARED.exists(), reason="needs the real tiles in ../shared/data")
def test_real_tiles(tmp_path: Path) -> None:
    sample = prepared(SHARED / "multiearth-sample", tmp_path / "sample")
    assert (sample.scenes_s1, sample.scenes_s2, sample.pairs) == (4, 13, 3)
    assert (sample.dataset1, sample.dataset2, sample.holdout) == (3, 1, 0)
    europe = prepared(SHARED / "europe-pairs", tmp_path / "europe")
    assert (europe.scenes_s1, europe.scenes_s2, europe.pairs) == (54, 54, 54)
    assert (europe.dataset1, europe.dataset2, europe.holdout) == (52, 36, 7)
    towns = prepared(SHARED / "europe-pairs", tmp_path / "towns", max_cloud=0.001)
    assert towns.dataset2 == 43

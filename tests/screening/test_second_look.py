"""A detector beside the cloud rule: shown what it must see, once, and heard as it was asked."""

import csv
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from kit.errors import InputError
from kit.pairs.prepare import prepare
from kit.pairs.table import read_pairs
from kit.screening import second_look
from kit.screening.detector import Detector
from kit.screening.rule import CloudRule
from kit.screening.screen import Screening, screen
from kit.sources.convert import Wanted
from kit.tiles.names import TileName
from kit.tiles.tiff import write_tile
from kit.verification.verify import verify
from tests.helpers.detector import Fake, add_band, fake, mark
from tests.helpers.sources import write_pictures
from tests.helpers.tiles import key, optical, radar, read_tile

__all__ = ["fake"]
CLEAR, RULE_CLOUD, SEEN_CLOUD, ONE_PIXEL, EMPTY, FLAGGED = map(key, range(6))
B8 = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Scenes on which the rule and the detector differ, and two that no detector may admit."""
    data = tmp_path / "data"
    optical(data, CLEAR)
    optical(data, RULE_CLOUD, cloud=8)
    for scene, cloud, shadow in ((SEEN_CLOUD, 5, 6), (ONE_PIXEL, 1, 0)):
        optical(data, scene)
        mark(data, scene, cloud=cloud, shadow=shadow)
    optical(data, EMPTY, nodata=16)
    optical(data, FLAGGED, qa60=4)
    for place in range(6):
        radar(data, key(place))
    return data


def look(data: Path, on: str = "all", **settings) -> Screening:
    return screen(data, data.parent / "work", detector=Detector(on=on), **settings)


def rows(data: Path) -> dict[str, dict]:
    table = pq.read_table(data.parent / "work/scenes.parquet").to_pylist()
    return {row["lon"]: row for row in table if row["sensor"] == "Sentinel2"}


@pytest.mark.parametrize(
    ("on", "shown", "clear"),
    [
        ("passed", 3, {CLEAR, ONE_PIXEL}),
        ("dropped", 1, {CLEAR, ONE_PIXEL, SEEN_CLOUD, RULE_CLOUD}),
        ("all", 4, {CLEAR, ONE_PIXEL, RULE_CLOUD}),
    ],
)
def test_what_is_shown_and_what_follows(data: Path, fake: Fake, on, shown, clear) -> None:
    result = look(data, on)
    assert len(fake.shapes) == shown
    found = rows(data)
    assert {lon for lon, row in found.items() if row["clear"]} == {scene.lon for scene in clear}
    assert {lon for lon, row in found.items() if row["clear"] is None} == {EMPTY.lon, FLAGGED.lon}
    assert (result.dataset1, result.dataset2) == (4, len(clear))
    told = result.second_look
    assert told and (told.scenes, told.measured, told.without_b8) == (shown, shown, shown)
    assert told.flagged == (on != "dropped") and told.admitted == (on != "passed")


def test_the_table_has_the_shares_and_what_the_detector_saw(data: Path, fake: Fake) -> None:
    add_band(data, SEEN_CLOUD, "B8", B8)
    look(data)
    row = rows(data)[SEEN_CLOUD.lon]
    assert (row["detector"], row["detector_bands"]) == ("fake 1", "B4,B3,B2,B8")
    assert (row["detector_cloud"], row["detector_shadow"]) == (5 / 1024, 6 / 1024)
    assert row["cloud_ratio"] == 0 and row["clear"] is False
    assert rows(data)[CLEAR.lon]["detector_bands"] == "B4,B3,B2"
    assert rows(data)[EMPTY.lon]["detector"] is None


def test_red_stands_in_for_near_infrared_and_that_is_told(data: Path, fake: Fake) -> None:
    add_band(data, CLEAR, "B8", B8)
    result = look(data)
    assert result.second_look and result.second_look.without_b8 == 3
    assert "3 of these scenes have no B8" in result.second_look.lines[1]
    assert {shape[0] for shape in fake.shapes} == {4}


def test_short_wave_infrared_is_seen_where_both_bands_are(data: Path, fake: Fake) -> None:
    for scene in (CLEAR, SEEN_CLOUD):
        for band in ("B8", "B11"):
            add_band(data, scene, band, B8)
    add_band(data, CLEAR, "B12", B8)
    look(data)
    assert sorted(shape[0] for shape in fake.shapes) == [4, 4, 4, 6]
    assert rows(data)[CLEAR.lon]["detector_bands"] == "B4,B3,B2,B8,B11,B12"
    assert rows(data)[SEEN_CLOUD.lon]["detector_bands"] == "B4,B3,B2,B8"


def test_no_scene_is_seen_twice_however_it_is_asked_for(data: Path, fake: Fake) -> None:
    look(data, "passed")
    assert look(data, "all").second_look.measured == 1
    assert look(data, "dropped").second_look.measured == 0
    screen(data, data.parent / "work")  # without a detector its looks stay
    assert look(data, "all", rule=CloudRule(threshold=0.2)).second_look.measured == 0
    assert look(data, "passed", rule=CloudRule(min_area=500)).second_look.measured == 0
    assert len(fake.shapes) == 4


def test_a_new_scene_a_changed_tile_and_a_new_band_cost_themselves_alone(
    data: Path, fake: Fake
) -> None:
    look(data)
    optical(data, key(7))
    mark(data, CLEAR, cloud=300)
    assert look(data).second_look.measured == 2
    assert rows(data)[CLEAR.lon]["clear"] is False
    add_band(data, ONE_PIXEL, "B8", B8)
    assert look(data).second_look.measured == 1
    assert rows(data)[ONE_PIXEL.lon]["detector_bands"] == "B4,B3,B2,B8"


def test_another_version_sees_everything_again(data: Path, fake: Fake) -> None:
    look(data)
    fake.version = "fake 2"
    assert look(data).second_look.measured == 4
    assert rows(data)[CLEAR.lon]["detector"] == "fake 2"


def test_what_was_seen_before_an_interruption_stays(
    data: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second_look, "PART", 1)
    fake.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        look(data)
    seen, fake.stop_after = len(fake.shapes), None
    assert 0 < seen < 4
    assert look(data).second_look.measured <= 4 - seen + 1  # one may have been seen, not kept
    assert sorted(rows(data)) == sorted(scene.lon for scene in map(key, range(6)))


def test_a_damaged_part_is_seen_again(data: Path, fake: Fake) -> None:
    look(data)
    (part,) = (data.parent / "work/detector").glob("*.parquet")
    whole = part.read_bytes()
    part.write_bytes(whole[:-30])
    assert look(data).second_look.measured == 4
    assert len(fake.shapes) == 8


def test_kit_verify_reads_what_was_seen(data: Path, fake: Fake) -> None:
    look(data)
    work = data.parent / "work"
    assert not verify([work]).damaged
    (part,) = (work / "detector").glob("*.parquet")
    whole = bytearray(part.read_bytes())
    whole[len(whole) // 2] ^= 1
    part.write_bytes(whole)
    assert [Path(item.path).name for item in verify([work]).damaged] == [part.name]


def test_pictures_have_no_reflectance_to_look_at(tmp_path: Path, fake: Fake) -> None:
    data = tmp_path / "data"
    radar(data, CLEAR)
    optical(data, CLEAR)
    work, wanted = tmp_path / "work", Wanted(optical="picture")
    with pytest.raises(InputError, match="needs reflectance"):
        prepare(data, work, source="multiearth", wanted=wanted, detector=Detector())
    assert not work.exists()  # nothing was converted
    assert prepare(data, work, source="multiearth", wanted=wanted, holdout=0).pairs == 1
    with pytest.raises(InputError, match="needs reflectance"):
        prepare(tmp_path / "work/tiles/train", tmp_path / "other", detector=Detector())
    assert not fake.shapes


def test_nothing_is_converted_for_a_detector_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ukis_csmask", None)
    with pytest.raises(InputError, match="ukis-csmask: not installed"):
        prepare(write_pictures(tmp_path / "data", 2), tmp_path / "work", detector=Detector())
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (B8[:16, :16], "is 16x16 where"),
        (B8.astype(np.float32), "float32"),
        (np.full_like(B8, 7), "B8 has one value everywhere"),
        (None, "B8"),
    ],
)
def test_a_band_that_cannot_be_used_is_named_and_tried_again(
    data: Path, fake: Fake, pixels, reason: str
) -> None:
    path = add_band(data, CLEAR, "B8", B8 if pixels is None else pixels)
    if pixels is None:
        path.write_bytes(path.read_bytes()[:300])
    result = look(data, "passed")
    assert result.dataset2 == 1 and rows(data)[CLEAR.lon]["clear"] is False
    (line,) = csv.DictReader((data.parent / "work/rejected.csv").open())
    assert (line["name"], line["kind"]) == (f"Sentinel2 {CLEAR}", "not seen by the detector")
    assert reason in line["reason"]
    assert look(data, "dropped").dataset2 == 4  # the rule passes it, and that is enough here
    path.unlink()
    assert look(data, "passed").dataset2 == 2


def test_floats_are_seen_as_the_reflectance_that_they_are(tmp_path: Path, fake: Fake) -> None:
    data = tmp_path / "data"
    optical(data, CLEAR)
    mark(data, CLEAR, cloud=100)
    add_band(data, CLEAR, "B8", B8)
    for band in ("B4", "B3", "B2", "B8"):
        name = TileName("Sentinel2", band, CLEAR)
        pixels = read_tile(data / "sent2" / str(name)).astype(np.float32) / 10_000
        write_tile(data / "sent2", name, pixels)
    look(data, units="any")
    assert rows(data)[CLEAR.lon]["detector_cloud"] == 100 / 1024


def test_pairs_follow_the_verdict_and_say_why(data: Path, fake: Fake) -> None:
    work = data.parent / "work"
    summary = prepare(data, work, holdout=0, detector=Detector(on="passed"))
    pairs = {pair.optical.lon: pair for pair in read_pairs(work / "pairs.parquet")}
    assert {lon for lon, pair in pairs.items() if pair.dataset2} == {CLEAR.lon, ONE_PIXEL.lon}
    assert pairs[SEEN_CLOUD.lon].flagged == 11 / 1024 and pairs[EMPTY.lon].flagged is None
    assert summary.dropped == {
        "optical nodata": 1, "QA60 cloud": 1, "heuristic cloud": 1, "detector: cloud or shadow": 1
    }  # fmt: skip
    admitted = prepare(data, work, holdout=0, detector=Detector(on="dropped"))
    assert (admitted.dataset2, len(fake.shapes)) == (4, 4)


def test_without_a_detector_the_rule_decides_as_ever(data: Path, fake: Fake) -> None:
    work = data.parent / "work"
    before = prepare(data, work, holdout=0)
    prepare(data, work, holdout=0, detector=Detector(on="dropped"))
    assert prepare(data, work, holdout=0) == before
    assert {row["clear"] for row in rows(data).values()} == {None}
    assert before.dataset2 == 3

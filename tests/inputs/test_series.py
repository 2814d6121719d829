"""Several radar scenes of a place become one, by their power."""

import datetime
from pathlib import Path

import numpy as np
import pytest
import torch

import kit
from kit.engines.request import Request
from kit.errors import BusyError, InputError
from kit.inputs.dataset import PairDataset
from kit.inputs.planes import read_pair
from kit.inputs.series import RadarSeries, mean_power
from kit.pairs.open_pairs import open_pairs
from kit.pairs.pack import pack
from kit.pairs.prepare import prepare
from kit.pairs.table import read_pairs, train_pairs
from kit.pairs.tile_pairs import TilePairs
from kit.prediction.manifest import read_manifest
from kit.runs.planes import planes_for_training
from kit.scaling import scale_radar
from kit.screening.rule import CloudRule
from kit.tiles.catalog import catalog
from kit.tiles.names import SceneKey
from kit.tiles.reader import read_scene
from kit.tiles.scenes import Scene
from kit.training.train import train
from tests.helpers.runs import assert_same_run
from tests.helpers.tiles import key, radar, world
from tests.helpers.variants import tiny

EAGER = Request("eager", "float32")
DATES = 4


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Places with several dates, prepared."""
    world(tmp_path / "data", places=6, dates=DATES)
    prepare(tmp_path / "data", tmp_path / "work", rule=CloudRule(), holdout=4)
    monkeypatch.chdir(tmp_path)
    return Path("work")


def scenes(folder: Path) -> dict[SceneKey, Scene]:
    return {scene.key: scene for scene in catalog(folder.resolve()).of("Sentinel1")}


def read_radar(scene: Scene) -> np.ndarray:
    return read_scene("Sentinel1", scene.files)


def plainly(series: list[np.ndarray]) -> np.ndarray:
    """The mean power in dB, in double precision and a pixel at a time."""
    power = [10 ** (sar.astype(np.float64) / 10) for sar in series]
    return 10 * np.log10(np.mean(power, axis=0))


def test_the_mean_of_power_is_not_that_of_decibels() -> None:
    random = np.random.default_rng(0)
    series = [random.normal(-10, 5, (2, 8, 9)).astype(np.float32) for _ in range(3)]
    np.testing.assert_allclose(mean_power(series), plainly(series), rtol=1e-5)
    twice = [np.full((2, 4, 4), level, np.float32) for level in (-10.0, -20.0)]
    for sar in twice:
        sar[0, 0, 0] += 1  # which is not constant
    assert mean_power(twice)[1, 0, 0] != pytest.approx(-15)


def test_a_gap_is_filled_by_other_dates_and_stays_where_all_have_one() -> None:
    random = np.random.default_rng(0)
    one, two = (random.normal(-10, 5, (2, 8, 9)).astype(np.float32) for _ in range(2))
    one[0, 2, 3], one[1, 5, 5], two[1, 5, 5] = np.nan, 0, -9999
    found = mean_power([one, two])
    np.testing.assert_allclose(found[:, 2, 3], two[:, 2, 3], rtol=1e-5)
    assert np.isnan(found[:, 5, 5]).all() and np.isfinite(found).sum() == found.size - 2


def test_the_nearest_of_the_place_and_the_size_are_averaged(tmp_path: Path) -> None:
    days = {0: 32, 5: 32, 9: 40, 12: 32, 30: 32}
    for day, size in days.items():
        radar(tmp_path, key(0, day), size=size)
    radar(tmp_path, key(1, 1))
    found = scenes(tmp_path)
    read = {scene: read_scene("Sentinel1", each.files) for scene, each in found.items()}
    series = RadarSeries(found.values(), 3, read_radar)
    mean, count = series.average(key(0, 5), read[key(0, 5)])
    expected = plainly([read[key(0, day)] for day in (5, 0, 12)])
    assert count == 3
    np.testing.assert_allclose(mean, expected, rtol=1e-4)
    alone, count = series.average(key(1, 1), read[key(1, 1)])
    assert count == 1 and alone is read[key(1, 1)]
    # Of two equally near the earlier.
    between = SceneKey(key().lon, key().lat, key().date + datetime.timedelta(6))
    two = RadarSeries(found.values(), 2, read_radar).average(between, read[key(0, 12)])[0]
    np.testing.assert_allclose(two, plainly([read[key(0, 12)], read[key(0, 5)]]), rtol=1e-4)


def test_a_scene_alone_of_its_size_is_never_kept_in_memory_that_is_anothers(tmp_path: Path) -> None:
    radar(tmp_path, key(0, 0))
    radar(tmp_path, key(0, 9), size=40)
    series = RadarSeries(scenes(tmp_path).values(), 2, read_radar)
    for number in (1, 2):  # a reader gives the same memory to one scene after the other
        given = np.full((2, 32, 32), -number, np.float32)
        mean, count = series.average(key(0, 0), given)
        assert count == 1 and (mean == -number).all()
        given[:] = 0


def test_a_tile_of_another_date_that_is_gone_is_named_or_left_out(tmp_path: Path) -> None:
    for day in (0, 5, 9):
        radar(tmp_path, key(0, day))
    found = scenes(tmp_path)
    read = {scene: read_scene("Sentinel1", each.files) for scene, each in found.items()}
    Path(str(found[key(0, 5)].files[0])).unlink()
    with pytest.raises(
        InputError, match="No such file or directory\\)\n  put it back; a pack holds the radar of"
    ):
        RadarSeries(found.values(), 3, read_radar).average(key(), read[key()])
    left = RadarSeries(found.values(), 3, read_radar, skip_unreadable=True).average(
        key(), read[key()]
    )
    assert left[1] == 2
    np.testing.assert_allclose(left[0], plainly([read[key()], read[key(0, 9)]]), rtol=1e-4)


def test_samples_and_pairs_hold_the_mean_from_tiles_and_from_the_pack(work: Path) -> None:
    variant = tiny("spade2", "radar_dates=3", "seed=5")
    pairs = train_pairs(read_pairs(work / "pairs.parquet"), 1)
    pack(work)
    found = scenes(Path("data"))
    samples = []
    for reader in (TilePairs(), open_pairs(work, pairs)):
        planes = planes_for_training(variant, work, reader, pairs)
        inputs, _ = read_pair(planes, reader, pairs[0])
        near = sorted(
            (scene for scene in found if (scene.lon, scene.lat) == pairs[0].place),
            key=lambda scene: (abs(scene.date - pairs[0].radar.date), scene.date),
        )
        mean = plainly([read_scene("Sentinel1", found[scene].files) for scene in near[:3]])
        np.testing.assert_allclose(inputs, scale_radar(mean.astype(np.float32)), atol=1e-5)
        samples.append(PairDataset(planes, reader, pairs, crop=32).batch(0, range(4)))
    assert all(torch.equal(one, other) for one, other in zip(*samples, strict=True))
    plain = PairDataset(
        planes_for_training(tiny("spade2", "seed=5"), work, TilePairs(), pairs),
        TilePairs(), pairs, crop=32,
    ).batch(0, range(4))  # fmt: skip
    assert plain.target.equal(samples[0].target) and not plain.inputs.equal(samples[0].inputs)


@pytest.mark.slow
def test_a_run_of_several_dates_resumes_scores_and_predicts(work: Path) -> None:
    variant = tiny("spade2", "name=series", "radar_dates=3", "date=true")
    run = train(variant, work=work)
    Path("first").mkdir()
    first = run.folder.rename("first/series")  # lines of metrics name their run
    lines: list[str] = []

    def stop(record: dict) -> None:
        if "l1" in record and record["epoch"]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(variant, work=work, watch=stop)
    assert_same_run(first, train(variant, work=work).folder)
    (row,) = [row for row in kit.validate(["series"]) if row.variant == "series"]
    assert row.scores.mae == pytest.approx(run.mae, abs=1e-6)

    for day in (0, 6, 12):
        radar(Path("test"), key(3, day))
    radar(Path("test"), key(40))
    kit.predict("series", "test", request=EAGER, report=lines.append)
    assert any(
        "series: radar averaged: of 3 dates for 3, of 1 date for 1 scenes" in s for s in lines
    )
    entries = read_manifest(Path("predictions/series"), "").scenes
    assert {name: entry["radar_dates"] for name, entry in entries.items()} == {
        str(key(3)): 3, str(key(3, 6)): 3, str(key(3, 12)): 3, str(key(40)): 1,
    }  # fmt: skip
    assert kit.predict("series", "test", request=EAGER).done == 0
    # Another date of the place changes what its neighbours are given, and no other scene.
    radar(Path("test"), key(3, 7))
    assert kit.predict("series", "test", request=EAGER).done == 4


@pytest.mark.slow
def test_a_training_goes_on_with_the_radar_that_it_began_with(work: Path) -> None:
    variant = tiny("p2phd1", "name=series", "radar_dates=3")

    def stop(record: dict) -> None:
        if "l1" in record and record["epoch"]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(variant, work=work, watch=stop)
    radar(Path("data"), key(3, 300))
    prepare("data", "work", rule=CloudRule(), holdout=4)
    with pytest.raises(BusyError, match="started with radar scenes of other dates"):
        train(variant, work=work)


@pytest.mark.parametrize("value", ["0", "101", "true"])
def test_impossible_numbers_of_dates_are_refused(value: str) -> None:
    with pytest.raises(InputError, match="radar_dates is"):
        tiny("spade2", f"radar_dates={value}")

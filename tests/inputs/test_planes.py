"""What a network is given beside VV and VH, the same in training and in prediction."""

import datetime
import math
from pathlib import Path

import numpy as np
import pytest

import kit
from kit.engines.calibration import samples
from kit.engines.request import Request
from kit.errors import InputError
from kit.inputs.dataset import PairDataset
from kit.inputs.planes import read_pair, season_planes
from kit.models.registry import build_generator
from kit.pairs.table import read_pairs
from kit.pairs.tile_pairs import TilePairs
from kit.prediction.manifest import read_manifest
from kit.runs.weights import load_run, save_weights
from kit.scaling import scale_radar
from kit.tiles.names import S1_BANDS
from kit.tiles.reader import read_scene
from kit.training.train import train
from tests.helpers.inputs import planes
from tests.helpers.tiles import key
from tests.helpers.variants import tiny

EAGER = Request("eager", "float32")


def test_the_year_is_a_circle() -> None:
    days = [datetime.date(2020, 1, 1) + datetime.timedelta(day) for day in range(366)]
    points = np.array([season_planes(day, (1, 1)).ravel() for day in days]) * 2 - 1
    np.testing.assert_allclose(points[0], [0, 1], atol=1e-6)
    np.testing.assert_allclose(np.hypot(*points.T), 1, atol=1e-6)
    steps = np.hypot(*np.diff(points, axis=0).T)
    np.testing.assert_allclose(steps, 2 * math.pi / 365.25, rtol=1e-3)
    assert np.hypot(*(points[-1] - points[0])) < 0.02


def test_radar_alone_is_what_the_papers_rows_are_given(trained: Path) -> None:
    pair = read_pairs(Path("work/pairs.parquet"))[0]
    sar = read_scene("Sentinel1", [*map(str, pair.radar_paths)])
    inputs, _ = read_pair(planes(), TilePairs(), pair)
    np.testing.assert_array_equal(inputs, scale_radar(sar))
    assert planes().is_radar_alone and not planes("date=true").is_radar_alone


def test_a_sample_has_the_date_of_its_radar(trained: Path) -> None:
    pairs = read_pairs(Path("work/pairs.parquet"))[:3]
    plain = PairDataset(planes("seed=5"), TilePairs(), pairs, crop=16)
    dated = PairDataset(planes("seed=5", "date=true"), TilePairs(), pairs, crop=16)
    one, two = plain.batch(0, [0, 1, 2]), dated.batch(0, [0, 1, 2])
    assert two.inputs.shape == (3, 4, 16, 16)
    assert one.inputs.equal(two.inputs[:, :2]) and one.target.equal(two.target)
    for row, pair in enumerate(pairs):
        season = season_planes(pair.radar.date, (16, 16)) * 2 - 1
        np.testing.assert_allclose(two.inputs[row, 2:], season, atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [("p2phd1", "norm=batch"), pytest.param(("spade4",), marks=pytest.mark.slow)],
)
def test_a_dated_run_is_trained_scored_and_predicted_alike(
    trained: Path, settings: tuple[str, ...]
) -> None:
    variant = tiny(*settings, "name=dated", "date=true")
    run = train(variant, work=Path("work"), runs=Path("runs"))
    assert run.mae is not None
    weights = load_run(Path("runs"), "dated")
    assert weights.variant.date and weights.variant.input_channels == 4
    assert samples(Path("work"), weights, (32, 32)).inputs.shape[1] == 4
    (row,) = [row for row in kit.validate(["dated"]) if row.variant == "dated"]
    assert row.scores.mae == pytest.approx(run.mae, abs=1e-6)

    kit.predict("dated,spade2", "test", request=EAGER)
    tiles = [Path("test/sent1") / f"Sentinel1_{band}_{key(40)}.tiff" for band in S1_BANDS]
    sar = read_scene("Sentinel1", [*map(str, tiles)])
    model = kit.load("runs/dated")
    rgb = model.predict(sar, dates=key(40).date)
    stored = np.load(f"predictions/dated/{key(40)}.npy")
    np.testing.assert_allclose(rgb * 65535, stored, atol=1)
    half_a_year = key(40).date + datetime.timedelta(182)
    assert np.abs(model.predict(sar, dates=half_a_year) - rgb).max() > 1e-5

    entry = read_manifest(Path("predictions/dated"), "").scenes[str(key(40))]
    plain = read_manifest(Path("predictions/spade2"), "").scenes[str(key(40))]
    assert entry["radar_sha256"] == plain["input_sha256"] != entry["input_sha256"]
    assert "radar_sha256" not in plain
    # The two saw the same tiles, if not the same planes: they can be averaged.
    assert kit.package(ensemble="dated,spade2", name="both", layout="plain").images == 2
    assert kit.predict("dated,spade2", "test", request=EAGER).done == 0


def test_dates_that_are_missing_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    variant = tiny("spade2", "name=dated", "date=true")
    facts = {"mean_color": [0.1, 0.1, 0.1]}
    save_weights(Path("runs/dated/weights.safetensors"), build_generator(variant), variant, facts)
    model, radar = kit.load("runs/dated"), np.full((3, 2, 32, 32), -9.0)
    with pytest.raises(InputError, match="dates: are missing: dated was trained with the date"):
        model.predict(radar)
    with pytest.raises(InputError, match="dates: are 2, for 3 scenes"):
        model.predict(radar, dates=["2020-01-01", "2020-01-02"])
    with pytest.raises(InputError, match="dates: are no dates"):
        model.predict(radar, dates="in May")
    assert model.predict(radar, dates=["2020-01-01"] * 3).shape == (3, 3, 32, 32)
    with pytest.raises(InputError, match="priors: are of no use: dated was trained"):
        model.predict(radar, dates="2020-01-01", priors=np.zeros((3, 3, 32, 32)))


def test_a_loaded_run_takes_priors_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    variant = tiny("p2phd1", "name=known", "prior=true", "date=false")
    facts = {"mean_color": [0.1, 0.1, 0.1]}
    save_weights(Path("runs/known/weights.safetensors"), build_generator(variant), variant, facts)
    model, radar = kit.load("runs/known"), np.full((2, 2, 32, 32), -9.0)
    radar += np.random.default_rng(0).normal(0, 2, radar.shape)
    images = np.random.default_rng(1).random((2, 3, 32, 32))
    without, given = model.predict(radar), model.predict(radar, priors=images)
    assert without.shape == given.shape == (2, 3, 32, 32) and np.abs(without - given).max() > 1e-4
    one = model.predict(radar[0], priors=images[0])
    np.testing.assert_allclose(one, given[0], atol=1e-5)
    for wrong in (images[0], images * 300, images[:, :2]):
        with pytest.raises(InputError, match=r"priors: have the shape.*\n  give B4, B3, B2 in \[0"):
            model.predict(radar, priors=wrong)
    with pytest.raises(InputError, match="dates: are of no use"):
        model.predict(radar, dates="2020-01-01")

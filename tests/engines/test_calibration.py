"""The tiles that engines are tried on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kit.engines import calibration as module
from kit.engines.calibration import samples, samples_or
from kit.engines.compile import _size
from kit.errors import InputError
from kit.pairs.table import holdout_pairs, read_pairs, train_pairs, write_pairs
from kit.runs.weights import Weights, read_run
from kit.tiles.bands import usual_size
from kit.tiles.catalog import catalog
from tests.helpers.tiles import key, radar


@pytest.fixture
def weights(trained: Path) -> Weights:
    return read_run(Path("runs"), "spade2")


def test_the_hold_out_is_compared_on_and_the_training_pairs_calibrate(weights: Weights) -> None:
    pairs = read_pairs(Path("work/pairs.parquet"))
    held, trained = holdout_pairs(pairs), train_pairs(pairs, 1)
    found = samples(Path("work"), weights, (32, 32))
    assert found.inputs.shape == (len(held), 2, 32, 32) and found.optical is not None
    assert found.optical.shape == (len(held), 3, 32, 32)
    assert found.calibration.shape == (min(len(trained), module.TILES), 2, 32, 32)
    assert found.source == f"{len(held)} tiles of the hold-out"
    assert found.known_mae == weights.facts["holdout_mae"]
    for tiles in (found.inputs, found.optical, found.calibration):
        assert 0 <= tiles.min() < tiles.max() <= 1


def test_many_pairs_are_spread_over(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TILES", 2)
    found = samples(Path("work"), weights, (32, 32))
    assert len(found.inputs) == len(found.calibration) == 2
    assert not np.array_equal(found.inputs[0], found.inputs[1])


def test_without_pairs_of_the_size_the_scenes_take_their_place(weights: Weights) -> None:
    radar(Path("large"), key(60), size=48)
    radar(Path("large"), key(60, 1), size=32)
    scenes = catalog(Path("large").resolve()).of("Sentinel1")
    assert usual_size([scene.files[0] for scene in scenes]) == (48, 48)
    found = samples(Path("work"), weights, (48, 48), scenes)
    assert found.optical is None and found.source == "1 tiles of the input"
    np.testing.assert_array_equal(found.inputs, found.calibration)
    with pytest.raises(InputError, match="no tile of 64x64"):
        samples(Path("work"), weights, (64, 64), scenes)
    assert len(samples(Path("nowhere"), weights, (32, 32), scenes).inputs) == 1


def test_a_hold_out_without_training_pairs_of_the_size_calibrates_too(
    weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "train_pairs", lambda *_: ())
    scenes = catalog(Path("test").resolve()).of("Sentinel1")
    found = samples(Path("work"), weights, (32, 32), scenes)
    assert found.optical is not None and len(found.calibration) == 2  # the scenes'
    found = samples(Path("work"), weights, (32, 32))
    np.testing.assert_array_equal(found.calibration, found.inputs)


def test_what_would_calibrate_is_read_when_it_is_asked_for(
    weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged() -> np.ndarray:
        raise InputError(Path("scene.tiff"), "is damaged")

    read: list[bool] = []
    chosen = train_pairs
    monkeypatch.setattr(module, "train_pairs", lambda *given: read.append(True) or chosen(*given))
    found = samples_or(Path("work"), weights, (32, 32), damaged, "windows")
    assert found.optical is not None and not read
    assert len(found.calibration) and len(found.calibration) and read == [True]
    monkeypatch.setattr(module, "train_pairs", lambda *_: ())
    found = samples_or(Path("work"), weights, (32, 32), damaged, "windows")
    with pytest.raises(InputError, match="scene"):
        _ = found.calibration


def test_a_training_pair_that_cannot_be_read_leaves_the_hold_out(
    weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = train_pairs(read_pairs(Path("work/pairs.parquet")), 1)[0]
    gone = replace(pair, radar_paths=(Path("gone.tiff"),) * 2)
    monkeypatch.setattr(module, "train_pairs", lambda *_: (gone,))
    tiles = np.full((3, 2, 32, 32), 0.5, np.float32)
    found = samples_or(Path("work"), weights, (32, 32), lambda: tiles, "windows")
    assert found.source.endswith("of the hold-out") and found.calibration is tiles
    found = samples(Path("work"), weights, (32, 32))
    with pytest.raises(InputError, match="gone"):
        _ = found.calibration


def test_engines_are_built_ahead_for_the_size_of_most_held_out_pairs(trained: Path) -> None:
    table = Path("work/pairs.parquet")
    pairs = read_pairs(table)
    first = holdout_pairs(pairs)[0]
    write_pairs(table, [replace(p, height=48, width=48) if p == first else p for p in pairs])
    assert _size(Path("work"), ()) == (32, 32)


def test_other_tiles_say_why_they_take_the_place_of_pairs(weights: Weights) -> None:
    Path("work/pairs.parquet").write_bytes(b"damaged")
    tiles = np.full((3, 2, 32, 32), 0.5, np.float32)
    found = samples_or(Path("work"), weights, (32, 32), lambda: tiles, "windows of the scene")
    assert found.optical is None and found.inputs is found.calibration is tiles
    assert found.source.startswith("3 windows of the scene (pairs cannot be read: ")


def test_scenes_of_the_size_are_looked_for_among_all(weights: Weights) -> None:
    for day in range(70):
        radar(Path("mixed"), key(60, day), size=32 if day < 66 else 48)
    scenes = catalog(Path("mixed").resolve()).of("Sentinel1")
    assert len(samples(Path("work"), weights, (48, 48), scenes).inputs) > 1


def test_a_hold_out_that_is_gone_is_named_where_scenes_take_its_place(
    weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise InputError(Path("a.tiff"), "no such file")

    monkeypatch.setattr(module, "read_pair", gone)
    with pytest.raises(InputError):
        samples(Path("work"), weights, (32, 32))
    scenes = catalog(Path("test").resolve()).of("Sentinel1")
    found = samples(Path("work"), weights, (32, 32), scenes)
    assert "pairs cannot be read: a.tiff: no such file" in found.source and len(found.inputs) == 2

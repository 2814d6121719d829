"""Scenes of one sensor become one row each, whatever their sizes and whatever is wrong."""

from pathlib import Path

import numpy as np
import pytest

import kit
from kit.errors import InputError
from kit.scaling import radar_nodata
from kit.screening.counts import count_with_peaks
from kit.screening.measure import SCHEMA
from kit.screening.measure import measure as measure_as
from kit.screening.rule import NO_PEAK, CloudRule
from kit.tiles import reader
from kit.tiles.bands import read_bands
from kit.tiles.catalog import catalog
from kit.tiles.values import count_values
from tests.helpers.tiles import key, optical, radar


def files(folder: Path, sensor: str, places: int) -> list[tuple[str, ...]]:
    found = {scene.key: scene.files for scene in catalog(folder).of(sensor)}
    return [found[key(place)] for place in range(places)]


def measure(sensor: str, files: list, rule: CloudRule, threads: int):
    return measure_as(sensor, files, rule, threads, kit.__version__)


def test_optical_rows_are_in_order_whatever_the_sizes(tmp_path: Path) -> None:
    for place, size in enumerate((16, 32, 16, 8, 32)):
        optical(tmp_path, key(place), size=size, cloud=place, qa60=1)
    listed = files(tmp_path, "Sentinel2", 5)
    table = measure("Sentinel2", listed, CloudRule(), 2)
    assert table.schema == SCHEMA
    assert table["height"].to_pylist() == [16, 32, 16, 8, 32]
    for row, paths in zip(table.to_pylist(), listed, strict=True):
        scene = read_bands("Sentinel2", [Path(path) for path in paths])[None]
        rgb, qa60 = scene[:, :3], scene[:, 3]
        counts, peaks = count_with_peaks(rgb, qa60, CloudRule(), backend="reference")
        values = count_values("Sentinel2", scene, backend="reference")
        expected = [*counts[0].tolist(), *peaks.tolist(), *values[0].tolist()]
        assert [*row.values()][2:-4] == expected
        assert row["problem"] is None


def test_more_scenes_than_are_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_CACHED", 4 * 8 * 8 * 2 * 2)  # two scenes
    for place in range(7):
        optical(tmp_path, key(place), size=8, cloud=place)
    table = measure("Sentinel2", files(tmp_path, "Sentinel2", 7), CloudRule(), 2)
    assert table["cloud"].to_pylist() == [place * 8 for place in range(7)]


def test_a_constant_band_has_no_peak(tmp_path: Path) -> None:
    optical(tmp_path, key(), size=8, cloud=8)
    row = measure("Sentinel2", files(tmp_path, "Sentinel2", 1), CloudRule(), 1).to_pylist()[0]
    assert (row["valid"], row["nodata"], row["cloud"], row["peak"]) == (0, 64, 0, NO_PEAK)


def test_radar_rows_have_nodata_alone(tmp_path: Path) -> None:
    radar(tmp_path, key())
    (listed,) = files(tmp_path, "Sentinel1", 1)
    row = measure("Sentinel1", [listed], CloudRule(), 1).to_pylist()[0]
    scene = read_bands("Sentinel1", [Path(path) for path in listed])
    assert row["nodata"] == radar_nodata(scene).sum()
    assert (row["valid"], row["cloud"], row["peak"]) == (32 * 32 - row["nodata"], 0, NO_PEAK)


def test_a_scene_that_cannot_be_read_has_its_reason_and_nothing_else(tmp_path: Path) -> None:
    optical(tmp_path, key(0))
    optical(tmp_path, key(1))
    listed = files(tmp_path, "Sentinel2", 2)
    Path(listed[0][2]).unlink()
    first, second = measure("Sentinel2", listed, CloudRule(), 1).to_pylist()
    assert Path(listed[0][2]).name in first.pop("problem")
    assert set(first.values()) == {None}
    assert second["problem"] is None and second["height"] == 32


def test_no_scenes_are_no_rows() -> None:
    assert len(measure("Sentinel2", [], CloudRule(), 1)) == 0


def test_a_worker_with_another_kit_refuses() -> None:
    with pytest.raises(InputError, match=f"version {kit.__version__}, and this process 0.0.0"):
        measure_as("Sentinel2", [], CloudRule(), 1, "0.0.0")


def test_counts_do_not_depend_on_the_threads(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for place in range(5):
        optical(tmp_path, key(place), cloud=int(random.integers(0, 32)))
    listed = files(tmp_path, "Sentinel2", 5)
    assert measure("Sentinel2", listed, CloudRule(), 1).equals(
        measure("Sentinel2", listed, CloudRule(), 4)
    )

"""Ratios of scenes, and tiles that cannot be read."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from made import key, optical, radar

from kit.catalog import catalog
from kit.clouds import CloudRule
from kit.screen import radar_nodata, screen, write_scenes


def test_ratios_are_shares_of_all_pixels(tmp_path: Path) -> None:
    optical(tmp_path, key(0))
    optical(tmp_path, key(1), cloud=8)
    optical(tmp_path, key(2), qa60=4)
    optical(tmp_path, key(3), nodata=16)
    radar(tmp_path, key(0))
    rows, rejected = screen(catalog(tmp_path).scenes, CloudRule())
    found = {(row.scene.sensor, row.scene.key): (row.nodata, row.qa60, row.cloud) for row in rows}
    assert not rejected
    assert found["Sentinel1", key(0)] == (0, 0, 0)
    assert found["Sentinel2", key(0)] == (0, 0, 0)
    assert found["Sentinel2", key(1)] == (0, 0, 8 / 32)
    assert found["Sentinel2", key(2)] == (0, 4 / 32, 0)
    assert found["Sentinel2", key(3)] == (16 / 32, 0, 0)
    assert all((row.height, row.width) == (32, 32) for row in rows)


def test_a_damaged_tile_costs_its_scene_and_is_named(tmp_path: Path) -> None:
    optical(tmp_path, key(0))
    optical(tmp_path, key(1))
    path = tmp_path / "sent2" / f"Sentinel2_B3_{key(0)}.tiff"
    path.write_bytes(path.read_bytes()[:600])
    told: list[tuple[int, int]] = []
    rows, rejected = screen(
        catalog(tmp_path).scenes,
        CloudRule(),
        lambda done, total, words="": told.append((done, total)),
    )
    assert [row.scene.key for row in rows] == [key(1)]
    assert [item.name for item in rejected] == [f"Sentinel2 {key(0)}"]
    assert path.name in rejected[0].reason
    assert told == [(1, 2), (2, 2)]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0])
def test_radar_nodata_is_where_either_polarisation_has_no_measurement(value: float) -> None:
    sar = np.random.default_rng(0).normal(-10, 1, (2, 4, 4)).astype(np.float32)
    sar[1, 2, 3] = value
    missing = radar_nodata(sar)
    assert missing[2, 3] and missing.sum() == 1


def test_a_constant_polarisation_is_all_nodata() -> None:
    sar = np.random.default_rng(0).normal(-10, 1, (2, 4, 4)).astype(np.float32)
    sar[0] = -12.0
    assert radar_nodata(sar).all()


def test_the_table_opens_as_parquet(tmp_path: Path) -> None:
    radar(tmp_path, key())
    rows, _ = screen(catalog(tmp_path).scenes, CloudRule())
    write_scenes(tmp_path / "scenes.parquet", rows)
    row = pq.read_table(tmp_path / "scenes.parquet").to_pylist()[0]
    assert (row["sensor"], row["lon"], row["date"]) == ("Sentinel1", key().lon, key().date)
    assert row["bands"] == "VV,VH" and len(row["paths"]) == 2

"""`pairs.parquet` is read as it was written."""

import datetime
from dataclasses import replace
from pathlib import Path

import pytest

from kit.errors import InputError
from kit.pairs.pairing import split
from kit.pairs.table import read_pairs, write_pairs
from kit.tiles.netcdf import Plane
from tests.helpers.pairs import grid


def test_the_table_survives_the_round_trip(tmp_path: Path) -> None:
    pairs = split(grid(30), holdout=5, by="blocks", seed=0)
    write_pairs(tmp_path / "pairs.parquet", pairs)
    assert read_pairs(tmp_path / "pairs.parquet") == pairs
    assert pairs[0].radar.date == datetime.date(2020, 6, 1)


def test_planes_of_a_netcdf_file_are_planes_again(tmp_path: Path) -> None:
    place = ("-55.20", "-4.39", "2020_06_01")
    planes = tuple(Plane("/data/a.nc", "Sentinel1", band, place, 7) for band in ("VV", "VH"))
    pairs = [replace(pair, radar_paths=planes) for pair in grid(1)]
    write_pairs(tmp_path / "pairs.parquet", pairs)
    assert read_pairs(tmp_path / "pairs.parquet") == tuple(pairs)


@pytest.mark.parametrize("content", [None, b"no parquet"])
def test_a_missing_or_damaged_table_says_what_to_run(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "pairs.parquet"
    if content:
        path.write_bytes(content)
    with pytest.raises(InputError, match="kit prepare"):
        read_pairs(path)

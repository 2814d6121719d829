"""`pairs.parquet` is read as it was written."""

import datetime
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kit.errors import InputError
from kit.pairs.holdout import split
from kit.pairs.summary import SUMMARY, read_units
from kit.pairs.table import PAIRS, read_pairs, write_pairs
from kit.storage.seal import write_record, write_table
from kit.tiles.netcdf import Plane
from tests.helpers.pairs import grid


def test_the_table_survives_the_round_trip(tmp_path: Path) -> None:
    pairs = split(grid(30), holdout=5, by="blocks", seed=0)
    write_pairs(tmp_path / "pairs.parquet", pairs)
    assert read_pairs(tmp_path / "pairs.parquet") == pairs
    assert pairs[0].radar.date == datetime.date(2020, 6, 1)


def test_units_go_with_the_table_and_older_ones_are_in_the_summary(tmp_path: Path) -> None:
    path, units = tmp_path / PAIRS, {"radar": "picture", "optical": "picture"}
    for given in (units, None):
        write_pairs(path, grid(2), given)
        assert read_units(tmp_path) == given  # no summary is needed
    table = pq.read_table(path)
    write_table(path, 2, table.replace_schema_metadata(None))  # as kits before 0.6.0 did
    assert read_units(tmp_path) is None
    write_record(tmp_path / SUMMARY, 2, {"settings": {"units": units}})
    assert read_units(tmp_path) == units
    (tmp_path / SUMMARY).write_text("{")
    with pytest.raises(InputError, match=r"summary\.json"):
        read_units(tmp_path)


def test_places_are_numbers_too(tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs.parquet", grid(2))
    row = pq.read_table(tmp_path / "pairs.parquet").to_pylist()[-1]
    assert (row["longitude"], row["latitude"]) == (float(row["lon"]), float(row["lat"]))


def test_a_pair_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    pairs = split(grid(30), holdout=5, by="blocks", seed=0)
    held = next(pair for pair in pairs if pair.split == "holdout")
    write_pairs(tmp_path / "pairs.parquet", [*pairs, replace(held, split="train")])
    with pytest.raises(InputError, match=f"its row {len(pairs) + 1} repeats"):
        read_pairs(tmp_path / "pairs.parquet")


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


def test_a_hold_out_that_was_renamed_in_place_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "pairs.parquet"
    write_pairs(path, split(grid(30), holdout=5, by="blocks", seed=0))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"holdout", b"holdoua"))
    assert path.read_bytes() != data
    with pytest.raises(InputError, match=r"pairs\.parquet: damaged"):
        read_pairs(path)


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("split", "holdoua", "the split 'holdoua', which is none of train, holdout, buffer"),
        ("cloud_ratio", 1.5, "a cloud_ratio of 1.5"),
        ("nodata_ratio", float("nan"), "a nodata_ratio of nan"),
        ("height", 0, "a size of 0 x 256 pixels"),
        ("radar_paths", ["only_one.tiff"], "other radar_paths than those of VV, VH"),
        ("lon", None, "column lon has a row without a value"),
    ],
)
def test_a_table_without_a_seal_is_checked_value_by_value(
    tmp_path: Path, column: str, value: object, problem: str
) -> None:
    path = tmp_path / "pairs.parquet"
    write_pairs(path, grid(3))
    table = pq.read_table(path)
    values = table[column].to_pylist()
    values[1] = value
    kind = table.schema.field(column).type
    table = table.set_column(
        table.schema.get_field_index(column), pa.field(column, kind), pa.array(values, kind)
    )
    pq.write_table(table, path)
    with pytest.raises(InputError, match=problem):
        read_pairs(path)


def test_a_table_without_a_column_says_which(tmp_path: Path) -> None:
    path = tmp_path / "pairs.parquet"
    write_pairs(path, grid(3))
    pq.write_table(pq.read_table(path).drop_columns("dataset2"), path)
    with pytest.raises(
        InputError, match=r"lacks the column dataset2\n  run kit prepare DATA again"
    ):
        read_pairs(path)

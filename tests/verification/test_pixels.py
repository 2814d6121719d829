"""Tiles are compared with what was screened of them, by whichever kit."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kit.screening.screen import screen
from kit.storage.seal import write_table
from kit.verification.verify import verify
from tests.helpers.tiles import key, optical, radar, world


@pytest.mark.parametrize("again", [False, True])
def test_what_an_earlier_kit_did_not_note_of_tiles_is_no_difference(
    tmp_path: Path, again: bool
) -> None:
    data, work = tmp_path / "data", tmp_path / "work"
    world(data, places=2, dates=1)
    screen(data, work)
    for path in (work / "screen").glob("*.parquet"):
        table = pq.read_table(path)
        facts = {"kit": (table.schema.metadata or {})[b"kit"]}
        write_table(path, 2, table.drop_columns(["float16"]).replace_schema_metadata(facts))
    if again:  # a new scene moves the old rows into other parts, as they are
        radar(data, key(2))
        optical(data, key(2))
        assert screen(data, work).measured == 2
    assert verify([work], data=True).damaged == ()


def test_a_null_that_was_noted_is_a_difference(tmp_path: Path) -> None:
    data, work = tmp_path / "data", tmp_path / "work"
    world(data, places=1, dates=1)
    screen(data, work)
    for path in (work / "screen").glob("*.parquet"):
        table = pq.read_table(path)
        at = table.column_names.index("cloud")
        nulls = pa.nulls(len(table), pa.int64())
        facts = {"kit": (table.schema.metadata or {})[b"kit"]}
        write_table(path, 2, table.set_column(at, "cloud", nulls).replace_schema_metadata(facts))
    found = verify([work], data=True).damaged
    assert len(found) == 2 and all("cloud differ" in each.problem for each in found)

"""Seals: whatever changes in a sealed file is noticed, and what was never sealed is read."""

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kit.errors import InputError, OutputError
from kit.storage.files import write_json
from kit.storage.seal import (
    UNSEALED,
    decode_lines,
    encode_line,
    is_cut_short,
    open_table,
    read_record,
    read_table,
    table_writer,
    write_record,
    write_table,
)

FORMAT = 3
REMEDY = "make it again"
RECORD = {"name": "spade2", "mae": 0.1 + 0.2, "scenes": {"a": None, "b": [1, 2]}}
SCHEMA = pa.schema(
    [pa.field("place", pa.string(), nullable=False), pa.field("ratio", pa.float64())]
)
TABLE = pa.table(
    {"place": [f"{n:04d}" for n in range(300)], "ratio": [n / 300 for n in range(300)]}, SCHEMA
)


def read(path: Path, format: int = FORMAT, schema: pa.Schema = SCHEMA) -> pa.Table:
    return read_table(path, format, schema, missing="make it", damaged=REMEDY)


def test_a_record_comes_back_with_its_format(tmp_path: Path) -> None:
    write_record(tmp_path / "a.json", FORMAT, RECORD)
    assert read_record(tmp_path / "a.json", FORMAT, REMEDY) == {"format": FORMAT, **RECORD}


def test_a_record_may_be_indented_and_ordered_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_record(path, FORMAT, RECORD)
    value = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(value.items())), separators=(",", ":")))
    assert read_record(path, FORMAT, REMEDY)["scenes"] == RECORD["scenes"]


def test_every_flipped_bit_of_a_record_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_record(path, FORMAT, {**RECORD, "mae": 0.5})
    data = path.read_bytes()
    for bit in range(8 * len(data)):
        path.write_bytes(_flipped(data, bit))
        with pytest.raises(InputError, match=r"a\.json"):
            read_record(path, FORMAT, REMEDY)


def test_a_record_of_an_earlier_kit_has_no_seal(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", RECORD)
    assert read_record(tmp_path / "a.json", FORMAT, REMEDY) == {**RECORD, "format": UNSEALED}


@pytest.mark.parametrize("text", ["[]", "null", '"text"', "3", "{", '{"format": 3}'])
def test_what_is_no_sealed_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=REMEDY):
        read_record(tmp_path / "a.json", FORMAT, REMEDY)


def test_a_record_of_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    write_record(tmp_path / "a.json", FORMAT + 1, RECORD)
    with pytest.raises(InputError, match="newer version of the kit"):
        read_record(tmp_path / "a.json", FORMAT, REMEDY)


def test_lines_come_back_and_damaged_ones_are_named() -> None:
    good, other = encode_line({"step": 1, "mae": 0.5}), encode_line({"step": 2, "mae": 0.25})
    lines = [*decode_lines(good + other.replace(b"0.25", b"0.35") + other[:9])]
    assert lines == [(1, {"step": 1, "mae": 0.5}), (2, None), (3, None)]
    assert [*decode_lines(b'{"step": 3}\n')] == [(1, {"step": 3})]
    assert [*decode_lines(b'{"step": 0}\n' + good)][1] == (2, {"step": 1, "mae": 0.5})
    assert [*decode_lines(good + b'{"step": 3}\n')][1] == (2, None)


def test_a_line_that_was_cut_short_is_told_from_one_whose_end_is_damaged() -> None:
    good = encode_line({"step": 1, "mae": 0.5})
    assert all(is_cut_short(good + good[:length]) for length in range(1, len(good) - 1))
    assert not is_cut_short(good) and not is_cut_short(good[:-1]) and not is_cut_short(b"")
    assert not is_cut_short(good + bytes(3))
    ends = [_flipped(good, 8 * len(good) - bit)[-1:] for bit in range(1, 9)]
    assert not any(is_cut_short(good[:-1] + end) for end in ends)


def test_no_flipped_bit_of_a_line_changes_what_is_read() -> None:
    record = {"step": 20, "g_l1": 0.125, "note": "x"}
    line = encode_line(record)
    noticed = 0
    for bit in range(8 * (len(line) - 1)):
        found = [read for _, read in decode_lines(_flipped(line, bit))]
        noticed += None in found
        # Where the checksum's own name is damaged, the rest is as it was.
        assert all(read is None or read.items() >= record.items() for read in found)
    assert noticed > 8 * (len(line) - 1 - len("check"))


def test_a_table_comes_back(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", FORMAT, TABLE)
    assert read(tmp_path / "t.parquet").equals(TABLE)
    assert pq.read_table(tmp_path / "t.parquet").equals(TABLE)  # by any other reader


def test_a_table_is_written_and_read_in_groups(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with table_writer(path, FORMAT, SCHEMA) as writer:
        for start in (0, 100, 200):
            writer.write_table(TABLE.slice(start, 100))
    with open_table(path, FORMAT, SCHEMA, missing="", damaged=REMEDY) as file:
        groups = [file.read_row_group(n) for n in range(file.num_row_groups)]
    assert pa.concat_tables(groups).equals(TABLE)
    assert len(groups) == 3


@pytest.mark.skipif(
    not Path("/proc/thread-self/io").exists(), reason="needs Linux to count the writes"
)
def test_a_table_is_written_in_a_few_pieces(tmp_path: Path) -> None:
    before = _writes()
    write_table(tmp_path / "t.parquet", FORMAT, TABLE)
    assert 2 <= _writes() - before <= 4


def _writes() -> int:
    """How often this thread has asked the system to write."""
    return int(Path("/proc/thread-self/io").read_text().split("syscw: ")[1].split()[0])


@pytest.mark.slow
def test_flipped_bits_of_a_table_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(path, FORMAT, TABLE.slice(0, 20))
    data = path.read_bytes()
    # The footer, where damage may hide the seal itself, bit by bit; of the rest a sample.
    footer = range(8 * (len(data) - 700), 8 * len(data))
    for bit in (*footer, *random.Random(0).sample(range(footer.start), 500)):
        path.write_bytes(_flipped(data, bit))
        with pytest.raises(InputError, match=REMEDY):
            read(path)


def test_a_value_changed_in_place_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with table_writer(path, FORMAT, SCHEMA) as writer:
        writer.write_table(TABLE)
    data = path.read_bytes()
    middle = len(data) // 2
    for changed in (data[:middle], data[:100] + bytes(50) + data[150:], data + b"x", b"", b"PAR1"):
        path.write_bytes(changed)
        with pytest.raises(InputError, match="damaged"):
            read(path)


def test_a_table_of_an_earlier_kit_has_no_seal(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet").equals(TABLE)


def test_a_table_of_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", FORMAT + 1, TABLE)
    with pytest.raises(InputError, match="newer version of the kit"):
        read(tmp_path / "t.parquet")


def test_columns_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(path, FORMAT, TABLE.drop_columns("ratio"))
    with pytest.raises(InputError, match="lacks the column ratio"):
        read(path)
    write_table(path, FORMAT, TABLE.set_column(1, "ratio", pa.array(["0"] * 300)))
    with pytest.raises(InputError, match="its column ratio is string, not double"):
        read(path)
    write_table(path, FORMAT, pa.table({"place": [None], "ratio": [0.5]}, pa.schema(
        [("place", pa.string()), ("ratio", pa.float64())]
    )))  # fmt: skip
    with pytest.raises(InputError, match="column place has a row without a value"):
        read(path)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such table\n  make it"):
        read(tmp_path / "t.parquet")


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(path, FORMAT, TABLE)
    with pytest.raises(OutputError), table_writer(path, FORMAT, SCHEMA):
        raise OutputError(28, "No space left on device")
    assert read(path).equals(TABLE)
    assert [each.name for each in tmp_path.iterdir()] == ["t.parquet"]


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)

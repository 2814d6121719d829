"""Seals: a checksum of its own content in every JSON record, JSON line and Parquet table.

A record is a JSON object with two more keys, `format`, the number of its format, and `check`, the
SHA-256 of all the rest, whatever the order of its keys. A line of a JSON Lines file has a `check`
too, a CRC-32. A table has both as metadata of its footer, `kit.format` and `kit.sha256`; the latter
is the SHA-256 of the file with 64 zeros in its place. Kits before 0.3.0 sealed nothing: what has
neither a format nor a checksum is read as format 1, unsealed.
"""

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from kit.errors import InputError
from kit.plain_text import one_line
from kit.storage.files import atomic, json_sha256, read_json, write_json

UNSEALED = 1
"""The format of what has no seal: written by a kit before 0.3.0."""

_FORMAT, _CHECK = "format", "check"
_TABLE_FORMAT, _TABLE_CHECK = "kit.format", "kit.sha256"
_BLANK = b"0" * 64
_BUFFER = 2**20  # bytes
# In a footer, which Thrift encodes, a field of type string and its length follow the key.
_BEFORE_CHECK = _TABLE_CHECK.encode() + bytes([0x18, len(_BLANK)])
_MISMATCH = "damaged: it does not match its own checksum"
_NEWER_REMEDY = "install that version of the kit"


def write_record(path: Path, format: int, record: Mapping[str, Any]) -> None:
    """Write a JSON object with its format and its checksum.

    Raises:
        OutputError: it cannot be written.
    """
    write_json(path, sealed(format, record))


def sealed(format: int, record: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with its format first and its checksum last."""
    whole = {_FORMAT: format} | dict(record) | {_FORMAT: format}
    return whole | {_CHECK: json_sha256(whole)}


def read_record(
    path: Path, format: int, remedy: str, *, sealed_from: int = UNSEALED + 1
) -> dict[str, Any]:
    """Read what `write_record` wrote, without its checksum but with its `format`.

    Args:
        path: of the file.
        format: the newest that the caller reads.
        remedy: tells the user what to do where it is missing or damaged.
        sealed_from: the oldest format that has a checksum.

    Raises:
        InputError: the file is missing, damaged, not an object, or of a newer format.
    """
    value = read_json(path, remedy)
    if not isinstance(value, dict):
        raise InputError(path, "damaged: it holds no JSON object", remedy=remedy)
    record: dict[str, Any] = {_FORMAT: UNSEALED} | value
    check = record.pop(_CHECK, None)
    found = record[_FORMAT]
    if check is None:
        if _FORMAT in value or sealed_from <= UNSEALED:
            raise InputError(path, "damaged: it has lost its checksum", remedy=remedy)
    elif check != json_sha256({key: item for key, item in value.items() if key != _CHECK}):
        raise InputError(path, _MISMATCH, remedy=remedy)
    check_format(path, found, format, remedy)
    return record


def is_sealed(path: Path) -> bool:
    """Whether a record, or a table if its name ends with .parquet, has a checksum."""
    try:
        if path.suffix == ".parquet":
            with path.open("rb") as file:
                return _check_position(file) is not None
        value = read_json(path, "")
    except (OSError, InputError):
        return False
    return isinstance(value, dict) and _CHECK in value


def encode_line(record: Mapping[str, Any]) -> bytes:
    """A line of a JSON Lines file, with a checksum."""
    return (json.dumps({**record, _CHECK: _crc(record)}, allow_nan=False) + "\n").encode()


def decode_lines(data: bytes) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """The number and the record of each line, from 1; None for one that is damaged or cut short.

    A line without a checksum, of an earlier kit, is taken as it is, unless it follows one that has.
    """
    sealed = False
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            record = json.loads(line)
            whole = isinstance(record, dict) and (_CHECK in record or not sealed)
            if whole and _CHECK in record:
                sealed = True
                whole = record.pop(_CHECK) == _crc(record)
        except (ValueError, RecursionError):
            whole = False
        yield number, record if whole else None


def is_cut_short(data: bytes) -> bool:
    """Whether the last line is the beginning of one alone, as a kill or a full disk leaves it."""
    line = data.rpartition(b"\n")[2].decode(errors="replace")
    if not line.startswith("{"):
        return False
    try:
        json.JSONDecoder().raw_decode(line)
    except (ValueError, RecursionError):
        return True
    return False  # whole, and what follows it is no end of a line


def write_table(path: Path, format: int, table: pa.Table) -> None:
    """Write a Parquet table with its format and its checksum; raises as `table_writer`."""
    with table_writer(path, format, table.schema) as writer:
        writer.write_table(table)


@contextmanager
def table_writer(path: Path, format: int, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A writer of a Parquet table, which appears at `path` when the block succeeds.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic(path) as temporary:
        with (
            # Arrow writes each header, page and field of the footer by itself: to disks that are
            # far away, in a hundred round trips for a table of a few rows.
            temporary.open("wb", _BUFFER) as sink,
            pq.ParquetWriter(sink, schema, compression="zstd", write_page_checksum=True) as writer,
        ):
            yield writer
            writer.add_key_value_metadata(
                {_TABLE_FORMAT: str(format), _TABLE_CHECK: _BLANK.decode()}
            )
        with temporary.open("rb+") as file:
            place = _check_position(file)
            assert place is not None
            digest = _table_sha256(file, place)
            file.seek(place)
            file.write(digest.encode())


@contextmanager
def open_table(
    path: Path, format: int, schema: pa.Schema, *, missing: str, damaged: str
) -> Iterator[pq.ParquetFile]:
    """A Parquet table whose bytes match its seal and which has the columns of `schema`.

    Reading all of it costs one more pass over the file than without a seal.

    Args:
        path: of the file.
        format: the newest that the caller reads.
        schema: columns that it has to have, among others, with their types.
        missing: tells the user what to do where there is no such file.
        damaged: tells the user what to do where it cannot be used.

    Raises:
        InputError: it is missing, damaged, of a newer format, or lacks a column.
    """
    try:
        with path.open("rb") as raw:
            found = _unseal_table(path, raw, damaged)
            check_format(path, found, format, damaged)
            with pq.ParquetFile(raw, page_checksum_verification=True) as file:
                _check_columns(path, file.schema_arrow, schema, damaged)
                yield file
    except FileNotFoundError:
        raise InputError(path, "no such table", remedy=missing) from None
    except InputError:
        raise
    except (OSError, OverflowError, pa.ArrowException, ValueError) as error:
        raise InputError(path, f"damaged ({one_line(error)})", remedy=damaged) from None


def read_table(
    path: Path,
    format: int,
    schema: pa.Schema,
    *,
    optional: pa.Schema | None = None,
    missing: str,
    damaged: str,
) -> pa.Table:
    """The columns of `schema` of a Parquet table; arguments and errors are those of `open_table`.

    Args:
        path: of the file.
        format: the newest that the caller reads.
        schema: columns that it has to have.
        optional: columns that earlier kits did not write; they are read where they are there.
        missing: as `open_table` takes it.
        damaged: as `open_table` takes it.

    Raises:
        InputError: as `open_table`, or a column that may not be null has a null.
    """
    with open_table(path, format, schema, missing=missing, damaged=damaged) as file:
        more = pa.schema([f for f in optional or () if f.name in file.schema_arrow.names])
        _check_columns(path, file.schema_arrow, more, damaged)
        table = file.read([*schema.names, *more.names])
    for field in schema:
        if not field.nullable and table[field.name].null_count:
            problem = f"damaged: its column {field.name} has a row without a value"
            raise InputError(path, problem, remedy=damaged)
    return table


def to_rows(path: Path, table: pa.Table, remedy: str) -> list[dict[str, Any]]:
    """The rows of a table that was read from `path`.

    Raises:
        InputError: a value of a table without a seal is no text or no date.
    """
    try:
        rows: list[dict[str, Any]] = table.to_pylist()
    except (ValueError, OverflowError) as error:
        raise InputError(path, f"damaged ({error})", remedy=remedy) from None
    return rows


def _unseal_table(path: Path, file: BinaryIO, remedy: str) -> int:
    """The format of a table, whose bytes match its seal."""
    place = _check_position(file)
    found = pq.read_metadata(file).metadata or {}
    noted, check = (found.get(key.encode()) for key in (_TABLE_FORMAT, _TABLE_CHECK))
    # Damage elsewhere may hide the metadata from its reader, but not from a search of the bytes.
    if place is None and noted is None and check is None:
        return UNSEALED
    if noted is None or check is None or place is None:
        raise InputError(path, "damaged: it has lost its checksum", remedy=remedy)
    if _table_sha256(file, place) != check.decode(errors="replace"):
        raise InputError(path, _MISMATCH, remedy=remedy)
    file.seek(0)
    return int(noted)


def _check_position(file: BinaryIO) -> int | None:
    """Where in a Parquet file the digits of its checksum are."""
    end = file.seek(-8, 2)
    length = int.from_bytes(file.read(4), "little")
    start = max(0, end - length)
    file.seek(start)
    at = file.read(end - start).rfind(_BEFORE_CHECK)
    return None if at < 0 else start + at + len(_BEFORE_CHECK)


def _table_sha256(file: BinaryIO, place: int) -> str:
    """SHA-256 of a file with zeros for the digits of its checksum, which are at `place`."""
    digest = hashlib.sha256()
    file.seek(0)
    for size in (place, None):
        _update(digest, file, size)
        if size is not None:
            digest.update(_BLANK)
            file.seek(len(_BLANK), 1)
    return digest.hexdigest()


def _update(digest: Any, file: BinaryIO, size: int | None) -> None:
    while size is None or size > 0:
        data = file.read(1 << 20 if size is None else min(size, 1 << 20))
        if not data:
            return
        digest.update(data)
        size = None if size is None else size - len(data)


def _check_columns(path: Path, found: pa.Schema, wanted: pa.Schema, remedy: str) -> None:
    for field in wanted:
        at = found.get_field_index(field.name)
        if at < 0:
            raise InputError(path, f"lacks the column {field.name}", remedy=remedy)
        if found.field(at).type != field.type:
            problem = f"its column {field.name} is {found.field(at).type}, not {field.type}"
            raise InputError(path, problem, remedy=remedy)


def check_format(path: Path, found: Any, newest: int, remedy: str) -> None:
    """Refuse what the format number `found` in `path` says that this kit cannot read.

    Raises:
        InputError: it is no number, or larger than `newest`.
    """
    if not isinstance(found, int) or isinstance(found, bool):
        raise InputError(path, f"damaged: its format is {str(found)[:20]!r}", remedy=remedy)
    if found > newest:
        problem = f"written by a newer version of the kit (format {found}, not {newest})"
        raise InputError(path, problem, remedy=f"{_NEWER_REMEDY}, or {remedy}")


def _crc(record: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(record, sort_keys=True, allow_nan=False).encode()):08x}"

"""The records that hold a zip together, compared before anything else trusts them.

In: an open file. Out: nothing, if every reader would find the same entries in it. Refused by name:
what is cut off, hidden before, after or between the entries, counted or sized wrongly, recorded
twice in two ways, or so much that reading the list alone would fill the memory.
"""

import os
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from kit.errors import InputError

# Far above any test set of the challenge; a list of a million entries takes a gigabyte to read.
MAX_ENTRIES = 100_000
MAX_DIRECTORY_BYTES = 32 << 20
# What all entries may decompress to, and, once that is much, how many times the archive's size.
MAX_TOTAL_BYTES = 64 << 30
MUCH_BYTES = 1 << 30
MAX_RATIO = 200

MAKE_AGAIN = "make it again: kit package"

# APPNOTE.TXT 4.3: the entry in the directory, the one before the data, and the records of the end.
_MEMBER = struct.Struct("<4s24x3H12x")
_LOCAL = struct.Struct("<4s2x2H4x3L2H")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_IS_MEMBER, _IS_LOCAL, _IS_END, _IS_END64, _IS_LOCATOR = (
    b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7",
)  # fmt: skip
_LONGEST_COMMENT = 0xFFFF
_SEE_ZIP64 = {0xFFFF, 0xFFFFFFFF}
_ENCRYPTED, _SIZES_FOLLOW, _UTF8 = 1, 8, 1 << 11
# 4.6.9: a name in UTF-8, behind a version and the checksum of the name that it stands for.
_FIELD, _UNICODE_NAME, _NAME_CHECKED = struct.Struct("<2H"), 0x7075, 5
# 4.3.9: what follows the data of an entry whose sums were not known before; the signature may lack.
_DESCRIPTOR, _DESCRIPTOR_64, _IS_DESCRIPTOR = (
    struct.Struct("<3L"),
    struct.Struct("<L2Q"),
    b"PK\7\10",
)


class _Directory(NamedTuple):
    """Where the list of entries is, and how long."""

    offset: int
    size: int
    entries: int


def check_directory(path: Path, file: BinaryIO) -> None:
    """Refuse a file whose list of entries is not the only one in it, or not intact, or too long.

    Raises:
        InputError: says what is wrong with the zip at `path`.
    """
    found = _find_directory(path, file)
    if found.entries > MAX_ENTRIES or found.size > MAX_DIRECTORY_BYTES:
        problem = f"lists {found.entries:,} entries in {found.size:,} bytes"
        limit = f"an archive has at most {MAX_ENTRIES:,} in {MAX_DIRECTORY_BYTES:,} bytes"
        raise InputError(path, problem, remedy=limit)
    data = os.pread(file.fileno(), found.size, found.offset)
    at = counted = 0
    while at < len(data) and counted <= found.entries:
        if len(data) - at < _MEMBER.size:
            raise broken(path, "its list of entries is cut off")
        signature, *lengths = _MEMBER.unpack_from(data, at)
        if signature != _IS_MEMBER:
            raise broken(path, "its list of entries is damaged")
        at += _MEMBER.size + sum(lengths)
        counted += 1
    if (at, counted) != (found.size, found.entries):
        raise broken(path, f"its list of entries does not end after the {found.entries:,} it has")


def check_members(path: Path, file: BinaryIO, archive: zipfile.ZipFile) -> None:
    """Refuse entries that overlap, decompress to too much together, or have contradicting headers.

    Readers that go from entry to entry without the list would unpack what stands between them.

    Raises:
        InputError: says what is wrong with the zip at `path`.
    """
    entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
    total, size = sum(entry.file_size for entry in entries), os.fstat(file.fileno()).st_size
    if total > MAX_TOTAL_BYTES or (total > MUCH_BYTES and total > MAX_RATIO * size):
        problem = f"decompresses to {total >> 20:,} MiB, {total // size:,} times its size"
        raise InputError(
            path, problem, remedy="make it again, of images of the size that is asked for"
        )
    end = 0
    for entry, place in zip(entries, _places(path, file, entries), strict=True):
        _no_gap(path, end, entry.header_offset, repr(entry.filename), "the entry before it")
        end = place + entry.compress_size
        end += _descriptor(file, end, entry)
    last = repr(entries[-1].filename) if entries else ""
    _no_gap(path, end, archive.start_dir, "its list of entries", last)


def _no_gap(path: Path, end: int, start: int, what: str, before: str) -> None:
    if start > end:
        raise broken(path, f"{start - end:,} bytes precede {what}")
    if start < end:
        raise broken(path, f"{what} overlaps {before}")


def broken(path: Path, why: object) -> InputError:
    """The error of an archive whose parts do not fit together."""
    return InputError(path, f"not an intact zip ({why})", remedy=MAKE_AGAIN)


def _find_directory(path: Path, file: BinaryIO) -> _Directory:
    """Read the records at the end, as Python's reader and the server's find them."""
    size = file.seek(0, os.SEEK_END)
    start = max(size - _END.size - _LONGEST_COMMENT, 0)
    tail = os.pread(file.fileno(), size - start, start)
    # An end without a comment comes first: the signature may occur among its own numbers.
    plain = tail[-_END.size :]
    at = len(tail) - _END.size
    if not (plain.startswith(_IS_END) and plain.endswith(b"\0\0")):
        at = tail.rfind(_IS_END)
    if at < 0 or len(tail) - at < _END.size:
        raise broken(path, "its end is missing")
    _, *disks, count, length, offset, comment = _END.unpack_from(tail, at)
    if follows := len(tail) - at - _END.size - comment:
        raise broken(path, "its end is cut off" if follows < 0 else f"{follows} bytes follow it")
    numbers: list[int] = [*disks, count, length, offset]
    end = start + at
    before = os.pread(file.fileno(), _LOCATOR.size, max(end - _LOCATOR.size, 0))
    if before.startswith(_IS_LOCATOR):
        end -= _LOCATOR.size + _END64.size
        numbers = _read_zip64(path, file, end, before, numbers)
    disk, first, here, count, length, offset = numbers
    if disk or first or here != count:
        raise broken(path, "it is one volume of several")
    if offset + length != end:
        gap = end - offset - length
        elsewhere = "its list of entries is not where its end says"
        raise broken(path, f"{gap:,} bytes precede it" if gap > 0 else elsewhere)
    return _Directory(offset, length, count)


def _read_zip64(path: Path, file: BinaryIO, at: int, locator: bytes, short: list[int]) -> list[int]:
    """The numbers of the zip64 end, which must not contradict those of the short one."""
    record = os.pread(file.fileno(), _END64.size, at) if at >= 0 else b""
    if not record.startswith(_IS_END64) or len(record) < _END64.size:
        raise broken(path, "its zip64 end is missing")
    _, length, _, _, *numbers = _END64.unpack(record)
    _, disk, offset, disks = _LOCATOR.unpack(locator)
    if (disk, offset, length) != (0, at, _END64.size - 12) or disks > 1:
        raise broken(path, "its zip64 end is elsewhere")
    if any(a not in (b, *_SEE_ZIP64) for a, b in zip(short, numbers, strict=True)):
        raise broken(path, "its two ends disagree")
    return list(numbers)


def _places(path: Path, file: BinaryIO, entries: list[zipfile.ZipInfo]) -> Iterator[int]:
    """Where the data of each entry begins, by the header that stands before it."""
    for entry in entries:
        header = b""
        if 0 <= entry.header_offset < 1 << 62:
            header = os.pread(file.fileno(), _LOCAL.size, entry.header_offset)
        if not header.startswith(_IS_LOCAL) or len(header) < _LOCAL.size:
            raise broken(path, f"{entry.filename!r} is not where the list says")
        _, flags, method, *sums, length, extra = _LOCAL.unpack(header)
        behind = os.pread(file.fileno(), length + extra, entry.header_offset + _LOCAL.size)
        name = behind[:length]
        listed = (entry.CRC, entry.compress_size, entry.file_size)
        sizes_follow = flags & _SIZES_FOLLOW and entry.flag_bits & _SIZES_FOLLOW
        others = {*_second_names(behind[length:]), *_second_names(entry.extra)}
        if other := others - {entry.orig_filename}:
            raise broken(path, f"{entry.filename!r} is called {min(other)!r} too")
        same = sizes_follow or all(a in (b, *_SEE_ZIP64) for a, b in zip(sums, listed, strict=True))
        differing = (flags ^ entry.flag_bits) & _ENCRYPTED or method != entry.compress_type
        if differing or not same or _decoded(name, flags) != entry.orig_filename:
            raise broken(path, f"{entry.filename!r} has two contradicting headers")
        yield entry.header_offset + _LOCAL.size + length + extra


def _decoded(name: bytes, flags: int) -> str:
    """A name as Python's reader decodes it."""
    return name.decode("utf-8" if flags & _UTF8 else "cp437", "replace")


def _second_names(extra: bytes) -> Iterator[str]:
    """Names in Info-ZIP's fields for Unicode, which some readers believe, and some do not."""
    at = 0
    while len(extra) - at >= _FIELD.size:
        kind, length = _FIELD.unpack_from(extra, at)
        at += _FIELD.size + length
        if kind == _UNICODE_NAME:
            yield extra[at - length + _NAME_CHECKED : at].decode("utf-8", "replace")


def _descriptor(file: BinaryIO, at: int, entry: zipfile.ZipInfo) -> int:
    """How many bytes of sums stand behind the data that ends at `at`."""
    if not entry.flag_bits & _SIZES_FOLLOW:
        return 0
    sums = (entry.CRC, entry.compress_size, entry.file_size)
    found = os.pread(file.fileno(), len(_IS_DESCRIPTOR) + _DESCRIPTOR_64.size, at)
    for signature in (_IS_DESCRIPTOR, b""):
        # The longer one first: sizes of 8 bytes begin like those of 4.
        for form in (_DESCRIPTOR_64, _DESCRIPTOR):
            if form is _DESCRIPTOR and max(sums) > 0xFFFFFFFF:
                continue
            expected = signature + form.pack(*sums)
            if found.startswith(expected):
                return len(expected)
    return 0

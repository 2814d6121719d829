"""A zip whose bytes depend on what is in it and on nothing else, deflated by several threads.

In: names, and functions that make the bytes under them. Out: the zip, to anything that can be
written to, in the order given; a few entries are in memory at a time, however many there are.
Python's zipfile takes no data that is deflated already, so the few structures of a zip are here;
the numbers in their names are the sections of PKWARE's APPNOTE.
"""

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import NamedTuple, Protocol

from kit.machine.lookahead import map_ahead

# Predicted pixels hold no repeats for deflate to find: matches of one byte back and Huffman codes
# give the size of level 6 in half its time, and the same bytes in zlib and zlib-ng, whose searches
# for longer matches differ.
_STRATEGY = zlib.Z_RLE
_AHEAD = 2

_UNIX, _VERSION, _VERSION_64 = 3 << 8, 20, 45
_DEFLATED = 8
_UTF8 = 1 << 11
_FIRST_DAY = 1 << 5 | 1  # 1 January 1980, the earliest that a zip can say
_REGULAR_FILE = 0o100644 << 16
# From here on a number is in a zip64 structure, and the old field holds this much.
_FAR, _IN_64 = 0xFFFF_FFFF, 0xFFFF_FFFF
_MANY = 0xFFFF

Entry = tuple[Sequence[str], Callable[[], bytes]]
"""The names under which the bytes that the function makes are written, once for each."""


class Sink(Protocol):
    """What a zip is written to: a file, or what only counts or hashes."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""


class _Deflated(NamedTuple):
    data: bytes
    size: int
    crc: int
    sha256: str


def write_zip(sink: Sink, entries: Iterable[Entry], *, threads: int = 1) -> dict[str, str]:
    """Write a zip of regular files that says nothing of where, when and by whom it was made.

    Args:
        sink: takes the bytes from first to last; it is never asked to go back.
        entries: as they are to follow each other; their functions run in any order, `threads` of
            them at a time, and what one raises is raised here.
        threads: how many threads make and deflate.

    Returns:
        The SHA-256 of each file's bytes, before deflate.
    """
    digests: dict[str, str] = {}
    directory: list[bytes] = []
    position = 0

    def write(names: Sequence[str], file: _Deflated) -> None:
        nonlocal position
        for name in names:
            digests[name] = file.sha256
            directory.append(_central_header(name, file, position))
            header = _local_header(name, file)
            sink.write(header)
            sink.write(file.data)
            position += len(header) + len(file.data)

    work = map_ahead(_deflate, entries, threads=threads, depth=_AHEAD * threads, name="deflate")
    with closing(work) as deflated:
        for names, file in deflated:
            write(names, file)
    central = b"".join(directory)
    sink.write(central)
    sink.write(_end(len(directory), len(central), position))
    return digests


def _deflate(entry: Entry) -> tuple[Sequence[str], _Deflated]:
    names, make = entry
    data = make()
    if len(data) >= _FAR:
        raise ValueError(f"a file of {len(data)} bytes is larger than any image")
    deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS, 8, _STRATEGY)
    deflated = deflate.compress(data) + deflate.flush()
    digest = hashlib.sha256(data).hexdigest()
    return names, _Deflated(deflated, len(data), zlib.crc32(data), digest)


def _fields(version: int, name: bytes, file: _Deflated, extra: bytes) -> bytes:
    """What the two headers of an entry have in common."""
    flags = 0 if name.isascii() else _UTF8
    return struct.pack(
        "<5H3L2H", version, flags, _DEFLATED, 0, _FIRST_DAY,
        file.crc, len(file.data), file.size, len(name), len(extra),
    )  # fmt: skip


def _local_header(name: str, file: _Deflated) -> bytes:
    """4.3.7."""
    text = name.encode()
    return b"PK\x03\x04" + _fields(_VERSION, text, file, b"") + text


def _central_header(name: str, file: _Deflated, position: int) -> bytes:
    """4.3.12; a position of 4 GiB or more is in the extra field, 4.5.3."""
    text = name.encode()
    far = position >= _FAR
    version = _VERSION_64 if far else _VERSION
    extra = struct.pack("<2HQ", 1, 8, position) if far else b""
    made_by = struct.pack("<H", _UNIX | version)
    rest = struct.pack("<3H2L", 0, 0, 0, _REGULAR_FILE, _IN_64 if far else position)
    return b"PK\x01\x02" + made_by + _fields(version, text, file, extra) + rest + text + extra


def _end(count: int, size: int, position: int) -> bytes:
    """4.3.16, after 4.3.14 and 4.3.15 where a number does not fit in it."""
    end = b""
    if far := count >= _MANY or size >= _FAR or position >= _FAR:
        versions = (_UNIX | _VERSION_64, _VERSION_64)
        numbers = (count, count, size, position)
        end += b"PK\x06\x06" + struct.pack("<Q2H2L4Q", 44, *versions, 0, 0, *numbers)
        end += b"PK\x06\x07" + struct.pack("<LQL", 0, position + size, 1)
    old = (_MANY, _MANY, _IN_64, _IN_64) if far else (count, count, size, position)
    return end + b"PK\x05\x06" + struct.pack("<2H2H2LH", 0, 0, *old, 0)

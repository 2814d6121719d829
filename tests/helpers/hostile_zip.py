"""Zips made by hand, for the tests of what must be refused: every field can be a lie."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """An entry of a zip. What is None is what is true; `listed` is what the list says.

    `local_name` is what the header before the data says, and `behind` follows the data.
    """

    name: bytes
    data: bytes = b""
    method: int = 8
    flags: int = 0
    mode: int = 0o100644
    crc: int | None = None
    size: int | None = None
    packed: bytes | None = None
    extra: bytes = b""
    offset: int | None = None
    local_name: bytes | None = None
    behind: bytes = b""
    listed: tuple[tuple[str, int], ...] = ()


def make_zip(
    entries: Sequence[Entry],
    *,
    before: bytes = b"",
    after: bytes = b"",
    comment: bytes = b"",
    count: int | None = None,
    directory: bytes | None = None,
    zip64: bool = False,
    **end: int,
) -> bytes:
    """The bytes of a zip; `end` replaces `disk`, `size`, `offset`, `count64` and the like."""
    body, listing = bytearray(before), bytearray()
    for entry in entries:
        packed = entry.packed
        if packed is None:
            packed = _deflate(entry.data) if entry.method == 8 else entry.data
        facts = {
            "crc": zlib.crc32(entry.data) if entry.crc is None else entry.crc,
            "packed": len(packed),
            "size": len(entry.data) if entry.size is None else entry.size,
            "method": entry.method,
            "flags": entry.flags,
            "offset": len(body) if entry.offset is None else entry.offset,
        }
        said = facts | dict(entry.listed)
        if entry.offset is None:
            local = (entry.flags, entry.method, 0, 33, facts["crc"], facts["packed"], facts["size"])
            name = entry.name if entry.local_name is None else entry.local_name
            body += struct.pack("<4s5H3L2H", b"PK\3\4", 20, *local, len(name), 0)
            body += name + packed + entry.behind
        listing += struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 3 << 8 | 20, 20, said["flags"], said["method"], 0, 33,
            said["crc"], said["packed"], said["size"], len(entry.name), len(entry.extra), 0, 0, 0,
            entry.mode << 16, said["offset"],
        ) + entry.name + entry.extra  # fmt: skip
    listed = bytes(listing) if directory is None else directory
    number = len(entries) if count is None else count
    place, length = end.get("offset", len(body)), end.get("size", len(listed))
    whole = bytes(body) + listed
    if zip64:
        here = end.get("place64", len(whole))
        number64 = end.get("count64", number)
        whole += struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, number64, number64,
                             length, place)  # fmt: skip
        whole += struct.pack("<4sLQL", b"PK\6\7", 0, here, 1)
        place = end.get("offset32", 0xFFFFFFFF)
    disk = end.get("disk", 0)
    short = min(number, 0xFFFF)
    whole += struct.pack("<4s4H2LH", b"PK\5\6", disk, disk, short, short, length, place,
                         end.get("comment", len(comment)))  # fmt: skip
    return whole + comment + after


def _deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()

"""The first header of a TIFF in memory, before a library is asked to open it.

In: the bytes. Out: what the header says of size, bands and compression. GDAL prepares each band
that a header claims, so a few hundred bytes that claim 20,000 cost it many seconds; and it does not
say how an image is compressed. Refused by name: bytes without such a header.

Numbers and types are those of the TIFF 6.0 specification, and of BigTIFF.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from kit.errors import InputError

_WIDTH, _HEIGHT, _COMPRESSION, _BANDS, _LERC = 256, 257, 259, 277, 50674
_READ = {_WIDTH, _HEIGHT, _COMPRESSION, _BANDS, _LERC}
# The whole numbers among the types of a field: how long each is, and its letter for struct.
_WHOLE = {
    1: (1, "B"), 3: (2, "H"), 4: (4, "I"), 16: (8, "Q"),
    6: (1, "b"), 8: (2, "h"), 9: (4, "i"), 17: (8, "q"),
}  # fmt: skip
_MOST_FIELDS = 4096


@dataclass(frozen=True, slots=True)
class TiffHeader:
    """What a header says: `compression` is the number of a method, `lerc` what LERC adds to it."""

    height: int
    width: int
    bands: int = 1
    compression: int = 1
    lerc: int = 0


class _Form(NamedTuple):
    """Where a kind of TIFF has what: offsets and formats of struct, and bytes of a field."""

    order: str
    first: int
    number: str
    field: str
    inline: int


def read_tiff_header(where: str | Path, data: bytes) -> TiffHeader:
    """Read the header of the first image.

    Raises:
        InputError: `where` holds no TIFF, or one whose header is damaged.
    """
    try:
        fields = _fields(data)
        return TiffHeader(
            height=fields[_HEIGHT][0],
            width=fields[_WIDTH][0],
            bands=fields.get(_BANDS, (1,))[0],
            compression=fields.get(_COMPRESSION, (1,))[0],
            lerc=fields.get(_LERC, (0, 0))[1],
        )
    except (struct.error, OverflowError, KeyError, IndexError):
        raise InputError(where, "not readable as a TIFF (its header is damaged)") from None


def _fields(data: bytes) -> dict[int, tuple[int, ...]]:
    """The whole numbers of the fields that are read, by the number of the field."""
    form = _form(data)
    size = struct.calcsize(form.order + form.number)
    (count,) = struct.unpack_from(form.order + form.number, data, form.first)
    found: dict[int, tuple[int, ...]] = {}
    each = struct.calcsize(form.order + form.field)
    for index in range(min(count, _MOST_FIELDS)):
        at = form.first + size + index * each
        tag, kind, values, offset = struct.unpack_from(form.order + form.field, data, at)
        if tag not in _READ or tag in found or kind not in _WHOLE:
            continue
        length, letter = _WHOLE[kind]
        values = min(values, 2)
        if values * length <= form.inline:
            offset = at + each - form.inline
        found[tag] = struct.unpack_from(f"{form.order}{values}{letter}", data, offset)
    return found


def _form(data: bytes) -> _Form:
    order = {b"II": "<", b"MM": ">"}[data[:2]]
    (version,) = struct.unpack_from(order + "H", data, 2)
    if version == 43:
        (first,) = struct.unpack_from(order + "Q", data, 8)
        return _Form(order, first, "Q", "HHQQ", 8)
    if version != 42:
        raise KeyError(version)
    (first,) = struct.unpack_from(order + "I", data, 4)
    return _Form(order, first, "H", "HHII", 4)

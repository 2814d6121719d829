"""The header of a TIFF as a library reads it, and anything else refused."""

import io
import struct
from contextlib import suppress

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InputError
from kit.tiles.tiff_header import TiffHeader, read_tiff_header

PIXELS = np.zeros((3, 24, 40), np.uint16)


def written(**options: object) -> bytes:
    data = io.BytesIO()
    tifffile.imwrite(data, PIXELS, photometric="minisblack", planarconfig="separate", **options)
    return data.getvalue()


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize(("compression", "number"), [(None, 1), ("deflate", 32946)])
def test_every_kind_of_tiff(
    byteorder: str, bigtiff: bool, compression: str | None, number: int
) -> None:
    data = written(byteorder=byteorder, bigtiff=bigtiff, compression=compression)
    assert read_tiff_header("x", data) == TiffHeader(24, 40, 3, number)


@given(st.binary(max_size=60), st.sampled_from([b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b""]))
def test_any_bytes_are_read_or_refused(data: bytes, head: bytes) -> None:
    try:
        read_tiff_header("x", head + data)
    except InputError as error:
        assert error.problem == "not readable as a TIFF (its header is damaged)"


def test_places_beyond_any_file_are_refused() -> None:
    for first in (2**63, 2**64 - 1, 100):
        with pytest.raises(InputError, match="its header is damaged"):
            read_tiff_header("x", struct.pack("<2sHHHQ", b"II", 43, 8, 0, first))


@given(st.integers(0, 8 * len(written()) - 1))
def test_a_changed_bit_is_no_bug(bit: int) -> None:
    data = bytearray(written())
    data[bit // 8] ^= 1 << bit % 8
    with suppress(InputError):
        read_tiff_header("x", bytes(data))

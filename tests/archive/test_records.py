import io
import struct
import tracemalloc
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kit.archive.reader import open_archive, read_contents, read_image
from kit.archive.records import MAX_ENTRIES
from kit.errors import InputError
from tests.helpers.archives import image, tiff
from tests.helpers.hostile_zip import Entry, make_zip

PIXELS = image(1, size=8)
GOOD = Entry(b"CH3/a.tiff", tiff(PIXELS))
OTHER = Entry(b"CH3/b.tiff", tiff(PIXELS))
LOCAL = 30 + len(GOOD.name)
LIST_OF_ONE = 46 + len(GOOD.name)


def opened(folder: Path, data: bytes) -> tuple[str, ...]:
    """The images of an archive of these bytes, each of them read."""
    path = folder / "a.zip"
    path.write_bytes(data)
    with open_archive(path) as archive:
        names = read_contents(archive).images
        for name in names:
            np.testing.assert_array_equal(read_image(archive, name), PIXELS)
    return names


class Unseekable(io.BytesIO):
    """What Python's writer takes for a pipe, so that sums and sizes follow the data."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise OSError

    def report(self) -> int:
        raise OSError


def test_zips_that_others_write_are_whole(tmp_path: Path) -> None:
    both = ("CH3/a.tiff", "CH3/b.tiff")
    assert opened(tmp_path, make_zip([GOOD, OTHER])) == both
    assert opened(tmp_path, make_zip([OTHER, GOOD], zip64=True)) == both
    assert opened(tmp_path, make_zip([GOOD], comment=b"made by hand")) == both[:1]
    for sink in (io.BytesIO(), Unseekable()):
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as writer:
            writer.writestr("CH3/", b"")
            with writer.open("CH3/a.tiff", "w", force_zip64=True) as entry:
                entry.write(GOOD.data)
            writer.writestr("CH3/b.tiff", OTHER.data)
        assert opened(tmp_path, sink.getvalue()) == both


WHOLE = make_zip([GOOD])
# An entry that no list tells of: who reads without the list, as a pipe is read, unpacks it.
HIDDEN = make_zip([Entry(b"../evil.sh", b"rm -r .")])[: -(22 + 46 + len(b"../evil.sh"))]
HIDING = replace(GOOD, behind=HIDDEN)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (WHOLE[:-1], "its end is missing"),
        (WHOLE[:200], "its end is missing"),
        (WHOLE[1:], "is not where its end says"),
        (WHOLE[:100] + WHOLE[101:], "is not where its end says"),
        (WHOLE + b"x", "1 bytes follow it"),
        (WHOLE + b"\0" * 70_000, "its end is missing"),
        (WHOLE + WHOLE, "bytes precede it"),
        (b"x" + WHOLE, "1 bytes precede it"),
        (make_zip([GOOD], before=b"#!/bin/sh\n"), "10 bytes precede 'CH3/a"),
        (make_zip([GOOD], comment=b"abc")[:-1], "its end is cut off"),
        (make_zip([GOOD], after=b"abc"), "3 bytes follow it"),
        (make_zip([GOOD], comment=b"abc", after=b"more"), "4 bytes follow it"),
        (make_zip([GOOD], disk=1), "one volume of several"),
        (make_zip([GOOD, OTHER], count=1), "does not end after the 1 it has"),
        (make_zip([GOOD], count=2), "does not end after the 2 it has"),
        (make_zip([GOOD], size=LIST_OF_ONE - 1), "bytes precede it"),
        (make_zip([GOOD], size=0, count=0), "bytes precede it"),
        (make_zip([GOOD], directory=b"PK\1\2"), "list of entries is cut off"),
        (make_zip([GOOD], directory=b"x" * LIST_OF_ONE), "list of entries is damaged"),
        (make_zip([GOOD], zip64=True, place64=3), "its zip64 end is elsewhere"),
        (make_zip([GOOD], zip64=True, count64=2), "its two ends disagree"),
        (make_zip([GOOD], zip64=True, offset32=7), "its two ends disagree"),
        (make_zip([GOOD], zip64=True, offset=1 << 63), "is not where its end says"),
        (make_zip([GOOD], zip64=True, count=0xFFFF, count64=1 << 40), "lists 1,099,511,627,776"),
        (WHOLE.replace(b"PK\5\6", b"PK\6\7" + bytes(16) + b"PK\5\6"), "zip64 end is missing"),
        (make_zip([Entry(GOOD.name, listed=(("size", 9),))]), "has two contradicting headers"),
        (make_zip([Entry(GOOD.name, listed=(("crc", 9),))]), "has two contradicting headers"),
        (make_zip([Entry(GOOD.name, listed=(("method", 0),))]), "has two contradicting headers"),
        (make_zip([Entry(GOOD.name, listed=(("flags", 1),))]), "has two contradicting headers"),
        (make_zip([Entry(GOOD.name, listed=(("offset", 9999),))]), "not where the list says"),
        (make_zip([Entry(GOOD.name, listed=(("offset", 1),))]), "not where the list says"),
        (make_zip([GOOD, Entry(GOOD.name, GOOD.data, offset=0)]), "overlaps the entry before it"),
        (
            make_zip([GOOD, *[Entry(b"CH3/%d.tiff" % i, offset=0) for i in range(1000)]]),
            "contradicting headers",
        ),
        (
            make_zip([Entry(GOOD.name, listed=(("offset", 0), ("packed", 1 << 30)))]),
            "contradicting headers",
        ),
        (
            make_zip([Entry(b"a" * 9, flags=8, listed=(("packed", 1 << 30),))]),
            "list of entries over",
        ),
        (make_zip([HIDING, OTHER]), r"\d+ bytes precede 'CH3/b\.tiff'"),
        (make_zip([HIDING]), r"\d+ bytes precede its list of entries"),
        (make_zip([], before=HIDDEN), r"\d+ bytes precede"),
        (
            make_zip([replace(GOOD, local_name=b"CH3/b.tiff"), OTHER]),
            "has two contradicting headers",
        ),
        (make_zip([replace(GOOD, local_name=b"../a.tiff")]), "has two contradicting headers"),
        (make_zip([replace(GOOD, local_name=b"\xff", flags=1 << 11)]), "contradicting headers"),
        (make_zip([replace(GOOD, flags=8, behind=bytes(12))]), "12 bytes precede"),
        (make_zip([replace(GOOD, flags=8, behind=b"PK\7\10" + bytes(20))]), "24 bytes precede"),
    ],
    ids=lambda value: value if isinstance(value, str) else len(value),
)
def test_records_that_do_not_fit_together(tmp_path: Path, data: bytes, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as raised:
        opened(tmp_path, data)
    assert raised.value.remedy and raised.value.where == str(tmp_path / "a.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize("signature", [b"PK\7\10", b""])
@pytest.mark.parametrize("form", ["<3L", "<L2Q"])
@pytest.mark.parametrize("data", [GOOD.data, b""])
def test_sums_that_follow_the_data_have_four_forms(
    tmp_path: Path, signature: bytes, form: str, data: bytes
) -> None:
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(data) + packer.flush()
    sums = signature + struct.pack(form, zlib.crc32(data), len(packed), len(data))
    entry = Entry(b"CH3/0", data, flags=8, packed=packed, behind=sums)
    assert opened(tmp_path, make_zip([entry, GOOD])) == ("CH3/a.tiff",)


@pytest.mark.parametrize(
    ("entries", "told", "problem"),
    [
        (1_000_000, 2, "lists 2 entries in 46,000,000 bytes"),
        (700_000, 9, "does not end after the 9 it has"),
        (700_000, 700_000, "lists 700,000 entries"),
    ],
)
def test_a_list_that_would_fill_the_memory_is_not_read(
    tmp_path: Path, entries: int, told: int, problem: str
) -> None:
    nameless = make_zip([Entry(b"", method=0)])[30:76]
    path = tmp_path / "a.zip"
    path.write_bytes(make_zip([], directory=nameless * entries, count=told, zip64=True))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=problem), open_archive(path):
            pass
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()


def test_an_entry_inside_another_is_seen(tmp_path: Path) -> None:
    """A bomb of Fifield's kind: the packed data of the first holds the whole second one."""
    inner = make_zip([OTHER])[: -(22 + LIST_OF_ONE)]
    outer = Entry(GOOD.name, inner, method=0)
    second = Entry(OTHER.name, OTHER.data, offset=LOCAL)
    with pytest.raises(InputError, match=r"'CH3/b\.tiff' overlaps the entry before it"):
        opened(tmp_path, make_zip([outer, second]))


def test_what_all_entries_unfold_to_is_bounded(tmp_path: Path) -> None:
    zeros = bytes(60 << 20)
    one = make_zip([Entry(b"CH3/0.tiff", zeros)])
    packed = one[LOCAL : -(22 + LIST_OF_ONE)]
    crc = zipfile.ZipFile(io.BytesIO(one)).infolist()[0].CRC
    many = [Entry(b"CH3/%d.tiff" % i, packed=packed, crc=crc, size=len(zeros)) for i in range(20)]
    with pytest.raises(InputError, match=r"decompresses to 1,200 MiB, [\d,]+ times its size"):
        opened(tmp_path, make_zip(many))


def test_as_many_entries_as_are_allowed(tmp_path: Path) -> None:
    some = make_zip([Entry(b"%d" % i) for i in range(3000)])
    path = tmp_path / "a.zip"
    path.write_bytes(some)
    with open_archive(path) as archive:
        assert len(archive.infolist()) == 3000 < MAX_ENTRIES

import json
import os
import random
import stat
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from kit.archive import check as module
from kit.archive.check import Checked, check
from kit.archive.expected import read_expected
from kit.archive.finding import Finding
from kit.archive.image_check import image_findings
from kit.archive.layout import LAYOUTS
from kit.errors import InputError
from tests.helpers.archives import A, B, image, tiff
from tests.helpers.hostile_zip import Entry, make_zip

CH3 = LAYOUTS["2022"]
SMALL = replace(CH3, size=8)
NAMES = [f"CH3/Sentinel2_{A}.tiff", f"CH3/Sentinel2_{B}.tiff"]
ONE, TWO = (name.encode() for name in NAMES)
PIXELS = image(1, size=8)
GOOD = tiff(PIXELS)
UNCOMPARED = "its names were compared with no list of names"


def look(folder: Path, data: bytes, names: Sequence[str] | None = NAMES) -> Checked:
    """Check these bytes, and that nothing appears or changes beside them."""
    path = folder / "a.zip"
    path.write_bytes(data)
    found = check(path, SMALL, names)
    assert [file.name for file in folder.iterdir()] == ["a.zip"]
    assert path.read_bytes() == data
    return found


def said(found: Checked) -> list[str]:
    return [f"{finding.name} {finding.problem}" for finding in found.findings]


def test_a_good_archive(tmp_path: Path) -> None:
    both = make_zip([Entry(ONE, GOOD), Entry(TWO, GOOD)])
    found = look(tmp_path, both)
    assert found == Checked(2, ())
    assert found.as_dict() == {"ok": True, "images": 2, "findings": []}
    found = look(tmp_path, both, None)
    assert (found.ok, found.images, said(found)) == (True, 2, [f"a.zip {UNCOMPARED}"])
    found = look(tmp_path, make_zip([Entry(b"CH3/", method=0, mode=0o40755), Entry(ONE, GOOD)]))
    assert not found.ok and said(found) == [f"{NAMES[1]} is missing"]
    assert found.as_dict()["findings"] == [
        {
            "name": NAMES[1],
            "problem": "is missing",
            "remedy": "predict its scene and package again",
            "harmless": False,
            "black": False,
        }
    ]


def test_the_list_of_the_server_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(make_zip([Entry(ONE, GOOD)]))
    files = tmp_path / "files.json"
    files.write_text(json.dumps({"count": 1, "image_type": ".tiff", "files": [f"/{NAMES[0]}"]}))
    assert check(path, SMALL, files) == Checked(1, ())
    files.write_text("{}")
    with pytest.raises(InputError, match="neither"):
        check(path, SMALL, files)


NAN, LATE_NAN = np.full((3, 8, 8), np.nan, np.float32), PIXELS.astype(np.float64)
LATE_NAN[2, 7, 7] = np.nan
FLAT = PIXELS.copy()
FLAT[1] = 7
FAR = PIXELS.astype(np.float64)
FAR[0, 0, 0], FAR[0, 0, 1] = -1e308, 1e308


@pytest.mark.parametrize(
    ("pixels", "problem"),
    [
        (PIXELS, ""),
        (PIXELS.transpose(1, 2, 0), ""),
        (PIXELS.astype(np.uint8), ""),
        (PIXELS.astype(np.float32) / 65535, ""),
        (PIXELS.astype(np.float64) - 1e6, ""),
        (FLAT, "channel 2 of 3 is constant"),
        (PIXELS * 0, "has one colour only"),
        (np.stack([PIXELS[0] * 0, PIXELS[0] * 0 + 5, PIXELS[0] * 0]), "has one colour only"),
        (NAN, "not finite"),
        (LATE_NAN, "not finite"),
        (np.where(PIXELS > 9000, PIXELS, np.inf), "not finite"),
        (np.where(PIXELS > 9000, PIXELS, -np.inf), "not finite"),
        (np.full((3, 8, 8), np.inf), "not finite"),
        (FAR, "too far apart to stretch"),
        (PIXELS[:, :4], "is 4x8 where the server reads 8x8"),
        (image(1, size=300), "has 3x300x300 pixels by its header"),
        (PIXELS[:1], "is 1x8x8; expected 3 bands"),
        (np.concatenate([PIXELS, PIXELS[:1]]), "of which the server reads the first 3"),
        (PIXELS.astype(np.int16), "pixels are int16, and so far apart that"),
        (PIXELS.astype(np.uint8).astype(np.int16), "pixels are int16, which the server reads"),
        (PIXELS.astype(np.uint32), "pixels are uint32, which the server reads"),
        (PIXELS.astype(np.int32), "pixels are int32, which the server reads"),
        (PIXELS.astype(np.int8), "pixels are int8 and negative, which the server's GDAL 2.4 reads"),
        ((PIXELS >> 9).astype(np.int8), "pixels are int8, which the server reads"),
        (PIXELS.astype(np.uint64), "pixels are uint64, which the server's GDAL 2.4 cannot read"),
        (PIXELS.astype(np.int64), "pixels are int64, which the server's GDAL 2.4 cannot read"),
        (PIXELS.astype(np.complex64), "pixels are complex64"),
    ],
)
def test_images(tmp_path: Path, pixels: NDArray[Any], problem: str) -> None:
    found = look(tmp_path, make_zip([Entry(ONE, tiff(pixels)), Entry(TWO, GOOD)]))
    if not problem:
        assert found == Checked(2, ())
        return
    (finding,) = found.findings
    assert finding.name == NAMES[0] and problem in finding.problem and finding.remedy
    read = ("constant", "which the server reads", "of which the server reads")
    assert finding.harmless == found.ok == any(words in problem for words in read)


FLOATS = [np.zeros((3, 8, 8), np.float32) for _ in range(2)]
for _channels, _high in zip(FLOATS, (1.0, 3e38), strict=True):
    _channels[:, 0], _channels[:, 1] = _high, -_high


def test_float32_must_not_overflow_in_float32_either() -> None:
    assert image_findings("x", FLOATS[0], SMALL) == []
    (found,) = image_findings("x", FLOATS[1], SMALL)
    assert "too far apart to stretch" in found.problem


def compressed(method: str, **options: Any) -> bytes:
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", count=3, height=8, width=8, dtype="float32", compress=method, **options
        ) as file:
            file.write(PIXELS.astype(np.float32))
        return bytes(memory.read())


@pytest.mark.parametrize(
    ("method", "problem"),
    [
        ("deflate", ""),
        ("lzw", ""),
        ("packbits", ""),
        ("lerc", ""),
        ("lerc_deflate", ""),
        ("lzma", "by LZMA, which the server's GDAL 2.4 cannot read"),
        ("zstd", "by ZSTD, which the server's GDAL 2.4 cannot read"),
        ("lerc_zstd", "by LERC with ZSTD, which the server's GDAL 2.4 cannot read"),
    ],
)
def test_compressions_of_a_tiff(tmp_path: Path, method: str, problem: str) -> None:
    """GDAL 2.4's list is that of its GTiff driver in the wheels of rasterio 1.1."""
    try:
        data = compressed(method)
    except RasterioError:
        pytest.skip(f"this GDAL does not write {method}")
    found = look(tmp_path, make_zip([Entry(ONE, data), Entry(TWO, GOOD)]))
    assert found.ok == (not problem)
    assert [problem in line for line in said(found)] == [True] * bool(problem)


def test_a_tiff_that_claims_many_bands_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GDAL would prepare each of them: many seconds for some hundred bytes."""
    monkeypatch.setattr(rasterio, "open", None)
    fields = [(256, 1), (257, 1), (258, 8), (259, 8), (262, 1), (273, 8), (277, 20_000), (279, 1)]
    body = b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in fields)
    data = struct.pack("<2sHIH", b"II", 42, 8, len(fields)) + body + bytes(4)
    (tmp_path / "a.zip").write_bytes(make_zip([Entry(ONE, data)]))
    found = check(tmp_path / "a.zip", CH3, NAMES[:1])
    assert said(found) == [f"{NAMES[0]} is 20000x1x1 by its header; expected 3 bands"]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zips_compressed_as_few_are(tmp_path: Path, method: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in NAMES:
            archive.writestr(name, GOOD)
    found = check(path, SMALL, NAMES)
    assert (found.ok, found.images) == (True, 2)
    assert "2 of its files are compressed by" in said(found)[0]
    whole = path.read_bytes()
    at = whole.index(GOOD[:0] + NAMES[0].encode()) + len(NAMES[0]) + 40
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    assert "damaged" in said(check(path, SMALL, NAMES))[-1]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_unpacks_to_more_than_it_states_is_not_unpacked(tmp_path: Path, method: int) -> None:
    """Python's reader would: these methods make gigabytes of a few kilobytes."""
    size = 24 << 20  # beyond the 8 MiB that LZMA looks back over
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(NAMES[0], bytes(size))
    data = path.read_bytes().replace(struct.pack("<I", size), struct.pack("<I", 1000))
    path.write_bytes(data)
    tracemalloc.start()
    try:
        found = check(path, SMALL, NAMES[:1])
        assert tracemalloc.get_traced_memory()[1] < size / 2
    finally:
        tracemalloc.stop()
    assert not found.ok and "damaged" in said(found)[-1]


def test_the_pixels_of_an_image_that_is_not_written_yet() -> None:
    assert image_findings("x", image(1), CH3) == []
    assert image_findings("x", PIXELS, LAYOUTS["plain"]) == []
    (found,) = image_findings("x", PIXELS, CH3)
    assert found.problem == "is 8x8 where the server reads 256x256"
    (found,) = image_findings("x", PIXELS[:2], SMALL)
    assert found.problem == "has 2 bands where the server reads 3"


@pytest.mark.parametrize(
    ("entries", "problems"),
    [
        ([(ONE, GOOD), (TWO, GOOD), (b"notes.txt", b"")], ["notes.txt is not on the list"]),
        ([(ONE, GOOD)], [f"{NAMES[1]} is missing"]),
        ([(ONE, GOOD), (TWO[:-1], GOOD)], [f"is named {NAMES[1][:-1]}", "not on the list"]),
        ([(ONE, GOOD), (TWO.lower(), GOOD)], ["is named ch3/", "not on the list"]),
        ([(ONE, GOOD), (b"x/" + TWO, GOOD)], ["is named x/CH3/", "not on the list"]),
        ([(ONE, GOOD), (TWO, GOOD), (ONE, GOOD)], ["occurs 2 times"]),
        ([(ONE, GOOD), (TWO, GOOD), (ONE.lower(), GOOD)], ["not on the list", "only in case"]),
        ([(ONE, GOOD), (TWO, GOOD), (b"CH3", b"")], ["not on the list", "is a file and a folder"]),
        (
            [(ONE, GOOD), (TWO, GOOD), (ONE + b"/x", b"")],
            ["not on the list", "is a file and a folder"],
        ),
        ([(ONE, GOOD), (TWO, GOOD), (b"a.ZIP", b"PK")], ["not on the list", "an archive in the"]),
        ([(ONE, GOOD), (TWO, b"PK\3\4" + GOOD)], ["not readable as a TIFF"]),
        ([(ONE, GOOD), (TWO, b"")], ["not readable as a TIFF"]),
        ([(ONE, GOOD), (TWO, GOOD[:100])], ["not readable as a TIFF"]),
        ([(ONE, GOOD), (TWO, make_zip([Entry(TWO, GOOD)]))], ["not readable as a TIFF"]),
    ],
)
def test_names(tmp_path: Path, entries: list[tuple[bytes, bytes]], problems: list[str]) -> None:
    found = look(tmp_path, make_zip([Entry(*entry) for entry in entries]))
    lines = said(found)
    assert len(lines) == len(problems), lines
    assert all(problem in line for problem, line in zip(problems, lines, strict=True)), lines
    assert all(f.harmless == ("is not on the list" in f.problem) for f in found.findings)
    assert found.ok == (problems == ["notes.txt is not on the list"])
    if b".tiff" not in entries[-1][0]:
        assert not any("drops .tif" in finding.remedy for finding in found.findings[1:])
    assert ("drops .tif" in found.findings[0].remedy) == entries[-1][0].endswith(b".tif")


def test_without_a_list_all_else_is_compared(tmp_path: Path) -> None:
    entries = [
        Entry(b"CH3/a.tiff", GOOD),
        Entry(b"CH3/b.tif", GOOD),
        Entry(b"CH3/c.TIFF", GOOD),
        Entry(b"ch3/d.tiff", GOOD),
        Entry(b"CH3/e.tiff", tiff(NAN)),
        Entry(b"CH3/notes.txt"),
    ]
    found = look(tmp_path, make_zip(entries), None)
    assert (found.ok, found.images) == (False, 2)
    assert [(finding.name, finding.harmless) for finding in found.findings] == [
        ("CH3/b.tif", False), ("CH3/c.TIFF", False), ("ch3/d.tiff", False),
        ("CH3/notes.txt", True), ("a.zip", True), ("CH3/e.tiff", False),
    ]  # fmt: skip
    assert "ends in .tif, which the server drops" in said(found)[0]
    assert "is not in the layout's folder, CH3/" in said(found)[2]
    found = look(tmp_path, make_zip([Entry(b"notes.txt")]), None)
    assert not found.ok and "contains no image named CH3/*.tiff" in said(found)[0]
    assert not look(tmp_path, make_zip([]), None).ok


def test_what_a_desktop_adds_is_one_harmless_line(tmp_path: Path) -> None:
    """And a name of it is no other spelling of an image that is missing."""
    both = [Entry(ONE, GOOD), Entry(TWO, GOOD)]
    added = [Entry(b"__MACOSX/._" + ONE[4:], b"\0\5"), Entry(b"CH3/._" + ONE[4:], b"\0\5")]
    for names in (NAMES, None):
        found = look(tmp_path, make_zip([*both, *added, Entry(b".DS_Store", b"Bud1")]), names)
        assert (found.ok, found.images) == (True, 2)
        line = f"__MACOSX/._{NAMES[0][4:]} is the first of 3 files that Finder or Explorer added"
        assert [line] == [text for text in said(found) if UNCOMPARED not in text]
    found = look(tmp_path, make_zip([both[1], *added]))
    assert f"{NAMES[0]} is missing" in said(found)


def test_what_the_server_unpacks_unasked_must_be_whole_too(tmp_path: Path) -> None:
    both = [Entry(ONE, GOOD), Entry(TWO, GOOD)]
    found = look(tmp_path, make_zip([*both, Entry(b"old.tiff", b"abc")]))
    assert found.ok and "old.tiff is not on the list" in said(found)[0]
    found = look(tmp_path, make_zip([*both, Entry(b"old.tiff", b"abc", crc=7)]))
    assert not found.ok and "damaged (Bad CRC-32" in said(found)[1]
    assert look(tmp_path, make_zip([*both, Entry(b"old.txt", b"abc", crc=7)])).ok


LINK, FIFO = stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (Entry(b"../a.tiff", GOOD), "points outside"),
        (Entry(b"CH3/../../a.tiff", GOOD), "points outside"),
        (Entry(b"/etc/a.tiff", GOOD), "points outside"),
        (Entry(b"C:\\a.tiff", GOOD), "points outside"),
        (Entry(b"CH3\\a.tiff", GOOD), "Windows PowerShell 5 writes such zips"),
        (Entry(b"CH3//a.tiff", GOOD), "not a plain path"),
        (Entry(b"./a.tiff", GOOD), "not a plain path"),
        (Entry(b"", GOOD), "not a plain path"),
        (Entry(b"CH3/a.tiff\0.txt", GOOD), "control characters"),
        (Entry(b"CH3/\x1b]0;owned\x07.tiff", GOOD), "control characters"),
        (Entry("CH3/\u202effit.tiff".encode(), GOOD, flags=1 << 11), "control characters"),
        (Entry(b"CH3/" + b"a" * 300, GOOD), "more than 255 bytes"),
        (Entry(TWO, GOOD, mode=LINK), "is a symbolic link"),
        (Entry(TWO, GOOD, mode=FIFO), "is not a regular file"),
        (Entry(TWO, GOOD, flags=1), "is encrypted"),
        (Entry(TWO, GOOD, flags=1 << 6), "is encrypted"),
        (Entry(TWO, GOOD, method=9), "other than deflate"),
        (Entry(TWO, GOOD, method=99), "other than deflate"),
        (Entry(TWO, bytes(8 << 20)), "times its size"),
        (Entry(TWO, bytes(65 << 20)), "decompresses to 65 MiB"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name[:20],
)
def test_dangers(tmp_path: Path, entry: Entry, problem: str) -> None:
    found = look(tmp_path, make_zip([Entry(ONE, GOOD), entry]))
    assert not found.ok
    assert any(problem in line for line in said(found)), said(found)
    assert "not read further" in said(found)[-1]
    assert all(line.isprintable() for line in said(found))


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (Entry(TWO, GOOD, crc=1), "damaged (Bad CRC-32"),
        (Entry(TWO, GOOD, size=len(GOOD) - 1), "damaged"),
        (Entry(TWO, GOOD, size=len(GOOD) + 1), f"decompresses to {len(GOOD):,} bytes, not"),
        (Entry(TWO, GOOD, size=len(GOOD) - 1, method=0), "damaged"),
        (Entry(TWO, GOOD, size=len(GOOD) + 1, method=0), f"decompresses to {len(GOOD):,} bytes"),
        (Entry(TWO, GOOD, packed=b"\xff" * 99), "damaged (Error -3"),
        (Entry(TWO, GOOD, packed=b""), "damaged"),
    ],
    ids=["crc", "less", "more", "stored less", "stored more", "no deflate", "nothing"],
)
def test_damaged_entries(tmp_path: Path, entry: Entry, problem: str) -> None:
    found = look(tmp_path, make_zip([Entry(ONE, GOOD), entry]))
    assert not found.ok and NAMES[1] in said(found)[-1] and problem in said(found)[-1]


def test_long_paths_cost_no_more_than_their_length(tmp_path: Path) -> None:
    """All folders of 20 such names, spelt out, would fill 18 GB."""
    deep = [Entry(b"%d/" % number + b"a/" * 30_000 + b"x.tiff") for number in range(20)]
    tracemalloc.start()
    try:
        found = look(tmp_path, make_zip([Entry(ONE, GOOD), *deep, Entry(b"0/a", b"")]))
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()
    assert "has a path of more than 4096 bytes" in "".join(said(found))
    assert "0/a is a file and a folder" in said(found)


@pytest.mark.parametrize(("second", "ok"), [(b"CH3/other.tiff", False), (TWO, True)])
def test_a_second_name_of_an_entry_is_refused(tmp_path: Path, second: bytes, ok: bool) -> None:
    """Some readers believe Info-ZIP's field of a second name, in Unicode, and some do not."""
    field = struct.pack("<BL", 1, zlib.crc32(TWO)) + second
    # Behind a field of another kind, as Info-ZIP writes both.
    extra = struct.pack("<HHLHH", 0x5455, 4, 0, 0x7075, len(field)) + field
    found = look(tmp_path, make_zip([Entry(ONE, GOOD), Entry(TWO, GOOD, extra=extra)]))
    assert found.ok == ok
    assert ok or "is called 'CH3/other.tiff' too" in said(found)[0]


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip" * 99, GOOD, b"\x1f\x8b\x08" * 99])
def test_what_is_no_zip_is_a_finding(tmp_path: Path, data: bytes) -> None:
    found = look(tmp_path, data)
    assert (found.ok, found.images) == (False, 0)
    assert "a.zip not an intact zip" in said(found)[0]


def test_what_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, problem in (
        ("nowhere", "no such archive"),
        ("", "is not a file"),
        ("pipe", "is not a file"),
        ("a\0b", "its name has a NUL, or is not UTF-8"),
        ("a" * 300, "cannot be opened"),
    ):
        with pytest.raises(InputError, match=problem) as raised:
            check(tmp_path / name, SMALL, NAMES)
        assert problem == "cannot be opened" or raised.value.problem == problem


def test_enough_bad_images_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENOUGH", 5)
    data = make_zip([Entry(b"CH3/%02d.tiff" % number, b"no image") for number in range(20)])
    steps: list[tuple[int, int]] = []
    (tmp_path / "a.zip").write_bytes(data)
    found = check(tmp_path / "a.zip", SMALL, None, lambda *step: steps.append(step))
    assert len(found.findings) == 1 + 5 + 1
    assert "not read further: 15 images left unread" in said(found)[-1]
    assert steps == [(done, 20) for done in range(1, 6)]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    def peak(images: int) -> int:
        data = tiff(image(1))
        names = [f"CH3/{number}.tiff" for number in range(images)]
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for name in names:
                archive.writestr(name, data)
        tracemalloc.start()
        try:
            assert check(tmp_path / "a.zip", CH3, names) == Checked(images, ())
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(4)  # what the libraries keep once they have been used
    assert peak(160) < peak(16) + 2 * len(tiff(image(1)))


# What follows changes good archives and lists at random. The seeds are fixed, so it is the same
# every time; what is accepted must still say, to other programs, exactly what the good one said.

ARCHIVES, LISTS = 3500, 1500
ORIGINAL = {name: image(number, size=8) for number, name in enumerate(NAMES)}
FIELDS = {
    b"PK\1\2": ((4, 2), (6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2),
                (32, 2), (34, 2), (38, 4), (42, 4), (46, 4)),
    b"PK\3\4": ((4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2), (30, 4)),
    b"PK\5\6": ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
    b"PK\6\6": ((4, 8), (16, 4), (20, 4), (24, 8), (32, 8), (40, 8), (48, 8)),
    b"PK\6\7": ((4, 4), (8, 8), (16, 4)),
}  # fmt: skip


def good_archives() -> list[bytes]:
    entries = [Entry(name.encode(), tiff(pixels)) for name, pixels in ORIGINAL.items()]
    stored = [replace(entry, method=0) for entry in entries]
    return [
        make_zip(entries),
        make_zip(stored),
        make_zip(entries, zip64=True, comment=b"a comment"),
    ]


def mutate(data: bytes, chance: random.Random) -> bytes:
    """The bytes with a few bits, a field of a header, a slice or an end changed."""
    changed = bytearray(data)
    at, other = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    kind = chance.randrange(8)
    if kind <= 1:
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif kind <= 3:
        for _ in range(chance.randint(1, 2)):
            set_field(changed, chance)
    elif kind == 4:
        return data[:at] if chance.random() < 0.5 else data[at:]
    elif kind == 5:
        changed[at:other] = b"" if chance.random() < 0.5 else chance.randbytes(other - at)
    elif kind == 6:
        start = chance.randrange(len(data))
        changed[at:at] = data[start : start + chance.randint(1, 400)]
    else:
        half = (other - at) // 2
        changed[at : at + half], changed[at + half : at + 2 * half] = (
            data[at + half : at + 2 * half], data[at : at + half],
        )  # fmt: skip
    return bytes(changed)


def anew(path: Path, data: bytes) -> Path:
    """Write a file whose old self is gone: some disks sync a file that is emptied and refilled."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    return path


def set_field(data: bytearray, chance: random.Random) -> None:
    signatures = [signature for signature in FIELDS if signature in data]
    if not signatures:  # a list of names has no such fields
        return
    signature = chance.choice(signatures)
    places = [i for i in range(len(data)) if data.startswith(signature, i)]
    offset, width = chance.choice(FIELDS[signature])
    at = chance.choice(places) + offset
    old = int.from_bytes(data[at : at + width], "little")
    most = (1 << 8 * width) - 1
    values = (0, 1, 8, most, most >> 1, old + 1, old - 1, 2 * old, chance.getrandbits(8 * width))
    data[at : at + width] = (chance.choice(values) & most).to_bytes(width, "little")


@pytest.mark.slow
def test_no_changed_archive_passes_for_the_good_one(tmp_path: Path) -> None:
    chance, goods, taken = random.Random(6), good_archives(), 0
    assert all(look(tmp_path, data) == Checked(2, ()) for data in goods)
    for _ in range(ARCHIVES):
        data = mutate(chance.choice(goods), chance)
        path = anew(tmp_path / "a.zip", data)
        found = check(path, SMALL, NAMES)
        assert all(line.isprintable() for line in said(found))
        if not found.ok:
            continue
        taken += 1
        with zipfile.ZipFile(path) as archive:
            assert sorted(archive.namelist()) == sorted(NAMES)
            for name, pixels in ORIGINAL.items():
                np.testing.assert_array_equal(tifffile.imread(archive.open(name)), pixels)
    assert [file.name for file in tmp_path.iterdir()] == ["a.zip"]
    # Clocks, versions and permissions may differ; most else may not.
    assert ARCHIVES * 0.01 < taken < ARCHIVES * 0.25


@pytest.mark.slow
def test_no_changed_list_passes_for_another(tmp_path: Path) -> None:
    chance, taken = random.Random(7), 0
    archive = tmp_path / "a.zip"
    archive.write_bytes(good_archives()[0])
    goods = [
        json.dumps({"count": 2, "image_type": ".tiff", "files": [f"/{name}" for name in NAMES]}),
        json.dumps(NAMES, indent=1),
        json.dumps({f"Sentinel1_VV_{A}.tiff": {"true.tiff": NAMES}}),
    ]
    path = tmp_path / "files.json"
    for _ in range(LISTS):
        anew(path, mutate_list(chance.choice(goods).encode(), chance))
        try:
            names = read_expected(path, SMALL)
        except InputError:
            continue
        there = strings(json.loads(path.read_bytes()))
        assert set(names) <= {*there, *(f"CH3/{name}" for name in there)}
        if check(archive, SMALL, path).ok:
            assert set(names) <= set(NAMES)
            taken += 1
        else:
            assert not set(names) <= set(NAMES)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.zip", "files.json"]
    assert LISTS * 0.01 < taken < LISTS * 0.5


def mutate_list(text: bytes, chance: random.Random) -> bytes:
    if chance.random() < 0.6:
        return mutate(text, chance)
    pieces = [b'"', b",", b"[", b"]", b"{", b"}", b":", b"\\u0000", b"\\ud800", b"..", b"/", b"2",
              b"null", b"1e999", b" ", b"CH3/", b".tiff"]  # fmt: skip
    at = chance.randrange(len(text))
    return text[:at] + chance.choice(pieces) + text[at + chance.randrange(3) :]


def strings(value: object) -> list[str]:
    """All texts in a JSON value, without the `/` that the server writes before its names."""
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value.removeprefix("/")] if isinstance(value, str) else []


def test_findings_are_values() -> None:
    assert Finding("a", "b", "c") == Finding("a", "b", "c", harmless=False)
    with pytest.raises(AttributeError):
        Finding("a", "b", "c").name = "d"  # type: ignore[misc]

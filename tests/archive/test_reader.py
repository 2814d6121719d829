import io
import stat
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.io import MemoryFile

from kit.archive.reader import (
    danger,
    name_danger,
    open_archive,
    read_contents,
    read_image,
    to_unit,
)
from kit.errors import InputError
from kit.tiles.tiff import decode_tiff, encode_tiff
from tests.helpers.archives import image, tiff, write_archive
from tests.helpers.hostile_zip import Entry, make_zip

NAME = "CH3/a.tiff"


def zip_of(path: Path, entries: Iterable[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    images = {f"CH3/{i}.tiff": image(i, size=16) for i in range(3)}
    path = tmp_path / "a.zip"
    write_archive(path, ((name, encode_tiff(pixels)) for name, pixels in images.items()))
    with open_archive(path) as archive:
        assert read_contents(archive).images == tuple(images)
        for name, pixels in images.items():
            np.testing.assert_array_equal(read_image(archive, name), pixels)
    assert zipfile.ZipFile(path).testzip() is None


def test_an_entry_says_nothing_of_where_and_when_it_was_made(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    write_archive(path, [(NAME, b"x" * 1000)])
    (entry,) = zipfile.ZipFile(path).infolist()
    assert entry.date_time == (1980, 1, 1, 0, 0, 0)
    assert entry.external_attr >> 16 == stat.S_IFREG | 0o644
    assert (entry.create_system, entry.compress_type) == (3, zipfile.ZIP_DEFLATED)
    assert entry.compress_size < 100


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("last", [False, True])
def test_images_by_another_writer_are_read(dtype: str, last: bool) -> None:
    pixels = (image(1, size=16) // 257).astype(dtype)
    data = tiff(pixels.transpose(1, 2, 0) if last else pixels)
    found = decode_tiff("x", data)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("bands", [1, 2, 4])
def test_images_of_other_bands_are_refused(bands: int) -> None:
    with pytest.raises(InputError, match=f"is {bands}x16x16"):
        decode_tiff("x", tiff(np.zeros((bands, 16, 16), np.uint8)))


@pytest.mark.parametrize("data", [b"", b"II*\0", b"not a tiff" * 99, tiff(image(1))[:5000]])
def test_what_is_not_a_tiff_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="not readable"):
        decode_tiff("x", data)


def test_another_format_that_gdal_knows_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.tiff"
    secret.write_bytes(tiff(image(1, size=16)))
    with rasterio.open(secret) as source, MemoryFile() as memory:
        with memory.open(driver="PNG", count=3, height=16, width=16, dtype="uint8") as png:
            png.write((source.read() // 257).astype("uint8"))
        with pytest.raises(InputError, match="not readable"):
            decode_tiff("x", memory.read())
    bands = "".join(
        f'<VRTRasterBand dataType="UInt16" band="{b}"><SimpleSource><SourceFilename>{secret}'
        f"</SourceFilename><SourceBand>{b}</SourceBand></SimpleSource></VRTRasterBand>"
        for b in (1, 2, 3)
    )
    vrt = f'<VRTDataset rasterXSize="16" rasterYSize="16">{bands}</VRTDataset>'
    with pytest.raises(InputError, match="not readable"):
        decode_tiff("x", vrt.encode())


def test_a_tiff_that_claims_to_be_huge_is_refused_before_it_is_read() -> None:
    data = io.BytesIO()
    with MemoryFile() as memory:
        profile = {"count": 3, "height": 100_000, "width": 100_000, "dtype": "uint8"}
        memory.open(
            driver="GTiff", sparse_ok=True, compress="deflate", tiled=True, **profile
        ).close()
        data = memory.read()
    assert len(data) < 8 << 20
    with pytest.raises(InputError, match="has 3x100000x100000 pixels by its header"):
        decode_tiff("x", data)


def test_to_unit() -> None:
    whole = np.array([[[0, 65535]]] * 3)
    np.testing.assert_array_equal(to_unit("x", whole.astype("uint16")), whole / 65535)
    np.testing.assert_array_equal(to_unit("x", (whole // 257).astype("uint8")), whole / 65535)
    unit = np.full((3, 1, 1), 0.25, np.float32)
    np.testing.assert_array_equal(to_unit("x", unit), unit)
    for wrong in (unit * 5, unit - 1, unit * np.nan, unit * np.inf):
        with pytest.raises(InputError, match="its values are"):
            to_unit("x", wrong)
    with pytest.raises(InputError, match="pixels are int16"):
        to_unit("x", whole.astype("int16"))


def link() -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(NAME)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


HOSTILE = [
    "../a.tiff",
    "CH3/../../a.tiff",
    "/CH3/a.tiff",
    "C:/a.tiff",
    "CH3\\a.tiff",
    "CH3/a\n.tiff",
    "CH3/a.tiff\0.txt",
    link(),
]


@pytest.mark.parametrize("name", HOSTILE, ids=repr)
def test_an_entry_that_is_a_danger_spoils_the_archive(
    tmp_path: Path, name: str | zipfile.ZipInfo
) -> None:
    entry = zipfile.ZipInfo("placeholder") if isinstance(name, str) else name
    path = zip_of(tmp_path / "a.zip", [("CH3/b.tiff", b""), (entry, tiff(image(1, size=8)))])
    if isinstance(name, str):
        data = path.read_bytes().replace(b"placeholder", name.encode().ljust(11, b"x")[:11])
        path.write_bytes(data if len(name) <= 11 else _renamed(path, name))
    with open_archive(path) as archive:
        assert any(danger(entry) for entry in archive.infolist())
        with pytest.raises(InputError):
            read_contents(archive)


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ((NAME, NAME), "occurs 2 times"),
        (("readme", "readme", NAME), "occurs 2 times"),
        ((NAME, NAME.upper() + ".tiff", NAME.lower()), "differs from .* only in case"),
        (("CH3/\u00e9.tiff", "CH3/e\u0301.tiff"), "differs from .* only in case"),
    ],
)
def test_names_that_are_one_file_to_some_reader_are_refused(
    tmp_path: Path, names: tuple[str, ...], problem: str
) -> None:
    (tmp_path / "a.zip").write_bytes(
        make_zip([Entry(name.encode(), tiff(image(1, size=8)), flags=1 << 11) for name in names])
    )
    with open_archive(tmp_path / "a.zip") as archive:
        with pytest.raises(InputError, match=problem) as raised:
            read_contents(archive)
        assert raised.value.remedy == "keep one"


def _renamed(path: Path, name: str) -> bytes:
    """The bytes of a zip whose last entry has this name, which Python's writer might have cut."""
    raw = name.encode()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("n" * len(raw), b"")
    return path.read_bytes().replace(b"n" * len(raw), raw)


def test_entries_that_unfold_to_too_much_or_are_packed_otherwise(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", [(NAME, bytes(65 << 20))])
    assert path.stat().st_size < 1 << 20
    with open_archive(path) as archive:
        for read in (lambda: read_contents(archive), lambda: read_image(archive, NAME)):
            with pytest.raises(InputError, match="decompresses to 65 MiB"):
                read()
    path.write_bytes(make_zip([Entry(NAME.encode(), bytes(1000), method=9)]))
    with open_archive(path) as archive, pytest.raises(InputError, match="method other than"):
        read_image(archive, NAME)
    encrypted = zipfile.ZipInfo(NAME)
    encrypted.flag_bits |= 1
    assert danger(encrypted) == "is encrypted"


def test_an_entry_that_lies_about_its_size_unfolds_to_no_more_than_it_says(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", [(NAME, bytes(1 << 20))])
    data = path.read_bytes().replace(struct.pack("<I", 1 << 20), struct.pack("<I", 100))
    path.write_bytes(data)
    with open_archive(path) as archive, pytest.raises(InputError, match="damaged"):
        read_image(archive, NAME)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("CH3/a.tiff", ""),
        ("CH3/", ""),
        ("a b/\u00e9.tiff", ""),
        ("", "not a plain path"),
        (".", "not a plain path"),
        ("a/", ""),
        ("a//", "not a plain path"),
        ("/", "points outside"),
        ("a/..", "points outside"),
        ("..a/a..", ""),
        ("\ud800", "control characters"),
        ("\u202e", "control characters"),
        ("\u00e9" * 127, ""),
        ("\u00e9" * 128, "more than 255 bytes"),
    ],
)
def test_names_that_an_archive_may_hold(name: str, problem: str) -> None:
    found = name_danger(name)
    assert problem in found and bool(found) == bool(problem)


@pytest.mark.parametrize("data", [tiff(image(1))[:5000], b"no image", b""])
def test_the_message_of_a_damaged_image_says_nothing_random(data: bytes) -> None:
    def message() -> str:
        with pytest.raises(InputError) as raised:
            decode_tiff("x", data)
        return str(raised.value)

    assert message() == message()
    assert "vsimem" not in message()


def test_images_of_bands_and_values_that_a_layout_asks_for() -> None:
    four = np.zeros((4, 8, 8), np.uint8)
    assert decode_tiff("x", tiff(four), bands=4).shape == (4, 8, 8)
    with pytest.raises(InputError, match="is 4x8x8; expected 3 bands"):
        decode_tiff("x", tiff(four))
    with pytest.raises(InputError, match="has 4x8x8 pixels by its header"):
        decode_tiff("x", tiff(four), limit=255)
    with pytest.raises(InputError, match="pixels are complex64"):
        decode_tiff("x", tiff(four.astype(np.complex64)), bands=4)


def test_what_is_not_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with pytest.raises(InputError, match="no such archive"), open_archive(path):
        pass
    whole = zip_of(path, [(NAME, tiff(image(1, size=8)))]).read_bytes()
    for data in (b"", b"PK", b"hello" * 100, whole[:-10], whole[:100]):
        path.write_bytes(data)
        with pytest.raises(InputError, match="not an intact zip"), open_archive(path):
            pass
    zip_of(path, [("CH3/a.tif", b"x")])
    with open_archive(path) as archive:
        with pytest.raises(InputError, match="contains no image"):
            read_contents(archive)
        with pytest.raises(InputError, match="no such entry"):
            read_image(archive, NAME)


@pytest.mark.slow
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4))
def test_a_damaged_archive_is_refused_or_read_whole(
    tmp_path: Path, changes: list[tuple[int, int]]
) -> None:
    pixels = image(1, size=4)
    path = tmp_path / "a.zip"
    write_archive(path, [(NAME, encode_tiff(pixels))])
    data = bytearray(path.read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    path.write_bytes(data)
    try:
        with open_archive(path) as archive:
            found = read_image(archive, NAME)
    except InputError:
        return
    np.testing.assert_array_equal(found, pixels)

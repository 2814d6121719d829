"""The tile reader against read_bands: the same pixels or the same error, whatever lies on disk."""

import logging
import os
import random
import struct
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from kit.errors import InputError
from kit.machine import native
from kit.tiles import reader
from kit.tiles.bands import read_bands
from kit.tiles.names import BANDS
from kit.tiles.reader import Reader
from kit.tiles.tiff import encode_tiff
from tests.helpers.core import NATIVE, needs_core
from tests.helpers.tiles import SHARED

BACKENDS = ["rasterio", NATIVE]
SENSOR = {"uint16": "Sentinel2", "float32": "Sentinel1", "float64": "Sentinel1"}
PLACE = {"crs": "EPSG:4326", "transform": rasterio.Affine(0.1, 0, -55, 0, -0.1, -4)}
Scenes = list[list[str]]
MUTANTS = 10_000


def pixels_of(size: tuple[int, int], dtype: str = "uint16", seed: int = 0) -> NDArray[np.generic]:
    """One plane [1, H, W] of noise, negative too where the type has signs."""
    noise = np.random.default_rng(seed).integers(0, 65536, (1, *size))
    return (noise - 30000 if dtype.startswith("float") else noise).astype(dtype)


def written(path: Path, size: tuple[int, int], dtype: str = "uint16", **options: object) -> Path:
    pixels = pixels_of(size, dtype, seed=len(path.name))
    count = options.pop("count", 1)
    shape = {"count": count, "height": size[0], "width": size[1]}
    with rasterio.open(path, "w", driver="GTiff", dtype=dtype, **shape, **options) as tile:
        tile.write(np.repeat(pixels, count, axis=0))
    return path


def plain(size: tuple[int, int], dtype: str = "uint16", *, data_first: bool = False) -> bytes:
    """A tile with the tags of the official ones, its pixels in one strip; the IFD may come last."""
    pixels = pixels_of(size, dtype).tobytes()
    bits = 32 if dtype == "float32" else 16
    fields = {256: size[1], 257: size[0], 258: bits, 259: 1, 262: 1, 273: 0, 278: size[0],
              279: len(pixels), 284: 1, 339: 3 if bits == 32 else 1}  # fmt: skip
    directory = 2 + 12 * len(fields) + 4
    fields[273] = 8 if data_first else 8 + directory
    short = (258, 259, 262, 284, 339)
    entries = b"".join(
        struct.pack("<HHII", tag, 3 if tag in short else 4, 1, value)
        for tag, value in fields.items()
    )
    ifd = struct.pack("<H", len(fields)) + entries + bytes(4)
    body = pixels + ifd if data_first else ifd + pixels
    return b"II*\0" + struct.pack("<I", 8 + len(pixels) if data_first else 8) + body


def compare(reading: Reader, sensor: str, scenes: Scenes) -> set[int]:
    """Check that a reader gives what read_bands gives; return the scenes that have pixels."""
    batches, errors = reading.read(sensor, scenes)
    found = {}
    for batch in batches:
        assert len(batch.indices) == len(batch.pixels)
        found |= dict(zip(batch.indices, batch.pixels, strict=True))
    assert len(found) + len(errors) == len(scenes)
    for i, paths in enumerate(scenes):
        try:
            expected = read_bands(sensor, [Path(path) for path in paths])
        except InputError as error:
            assert str(errors[i]) == str(error)
            assert any(Path(path).name in str(error) for path in paths)
        else:
            assert found[i].dtype == expected.dtype
            assert found[i].shape == expected.shape
            assert found[i].tobytes() == expected.tobytes()
    return set(found)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The core must do without rasterio."""

    def refuse(sensor: str, paths: list[Path], colors: int) -> None:
        raise InputError(paths[0], "left to rasterio")

    monkeypatch.setattr(reader, "read_bands_and_type", refuse)


@needs_core
@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("size", [(1, 1), (3, 7), (7, 3), (256, 256), (300, 200)])
def test_plain_tiles_are_the_cores(tmp_path: Path, size: tuple[int, int], dtype: str) -> None:
    contents = {
        "official.tiff": plain(size, dtype),
        "last.tiff": plain(size, dtype, data_first=True),
        "ours.tiff": encode_tiff(pixels_of(size, dtype)),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for rows in (1, 2, size[0]):
        written(tmp_path / f"strips{rows}.tiff", size, dtype, BLOCKYSIZE=rows)
    written(tmp_path / "placed.tiff", size, dtype, **PLACE)
    with rasterio.open(tmp_path / "placed.tiff", "r+") as tile:
        tile.update_tags(note="moves the IFD to the end" * 300)

    scenes = [[str(path)] * 2 for path in sorted(tmp_path.iterdir())]
    batches, errors = Reader(2, "native").read(SENSOR[dtype], scenes)
    assert not errors
    assert sorted(i for batch in batches for i in batch.indices) == list(range(len(scenes)))
    for batch in batches:
        for i, pixels in zip(batch.indices, batch.pixels, strict=True):
            expected = read_bands(SENSOR[dtype], [Path(path) for path in scenes[i]])
            np.testing.assert_array_equal(pixels, expected)


ODD: dict[str, Callable[[Path], object]] = {
    "deflate": lambda path: written(path, (20, 30), compress="deflate"),
    "lzw": lambda path: written(path, (20, 30), compress="lzw", predictor=2),
    "tiled": lambda path: written(path, (20, 30), tiled=True, blockxsize=16, blockysize=16),
    "bigtiff": lambda path: written(path, (20, 30), BIGTIFF="YES"),
    "big endian": lambda path: written(path, (20, 30), ENDIANNESS="BIG"),
    "nodata": lambda path: written(path, (20, 30), nodata=int(pixels_of((20, 30))[0, 3, 4])),
    "white is zero": lambda path: written(path, (20, 30), photometric="miniswhite"),
    "two bands": lambda path: written(path, (20, 30), count=2),
    "uint8": lambda path: written(path, (20, 30), "uint8"),
    "int16": lambda path: written(path, (20, 30), "int16"),
    "float32": lambda path: written(path, (20, 30), "float32"),
    "sparse": lambda path: written(path, (20, 30), SPARSE_OK=True),
    "described": lambda path: described(path, "ImageJ=1.11a\nimages=2\nslices=2\n"),
    "nodata of metadata": lambda path: filled(path),
    "overview": lambda path: overviewed(path),
    "empty": lambda path: path.touch(),
    "text": lambda path: path.write_text("hello"),
    "header alone": lambda path: path.write_bytes(plain((20, 30))[:8]),
    "half": lambda path: path.write_bytes(plain((20, 30))[:600]),
    "one byte short": lambda path: path.write_bytes(plain((20, 30))[:-1]),
    "longer": lambda path: path.write_bytes(plain((20, 30)) + bytes(5000)),
    "wrong magic": lambda path: path.write_bytes(b"II+\0" + plain((20, 30))[4:]),
    "IFD far away": lambda path: path.write_bytes(b"II*\0\xf0\xff\xff\xff" + bytes(1000)),
    "IFD on itself": lambda path: path.write_bytes(b"II*\0\4\0\0\0" + bytes(1000)),
    "no IFD": lambda path: path.write_bytes(b"II*\0" + bytes(1000)),
    "many tags": lambda path: path.write_bytes(b"II*\0\x08\0\0\0\xff\xff" + bytes(1000)),
    "absurd width": lambda path: path.write_bytes(changed(256, 2**31 - 1)),
    "absurd height": lambda path: path.write_bytes(changed(257, 2**32 - 1)),
    "absurd size": lambda path: path.write_bytes(changed(256, 2**20, 257, 2**20)),
    "no width": lambda path: path.write_bytes(changed(256, 0)),
    "absurd offset": lambda path: path.write_bytes(changed(273, 2**32 - 1)),
    "no offset": lambda path: path.write_bytes(changed(273, 0)),
    "absurd bytes": lambda path: path.write_bytes(changed(279, 2**32 - 1)),
    "no bytes": lambda path: path.write_bytes(changed(279, 0)),
    "no rows": lambda path: path.write_bytes(changed(278, 0)),
    "few rows": lambda path: path.write_bytes(changed(278, 3)),
    "many rows": lambda path: path.write_bytes(changed(278, 2**32 - 1)),
    "directory": lambda path: path.mkdir(),
    "fifo": lambda path: os.mkfifo(path),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "circular link": lambda path: path.symlink_to(path.name),
    "missing": lambda path: None,
}


def changed(*fields: int) -> bytes:
    """A plain tile with other values in some of its LONG tags."""
    tile = bytearray(plain((20, 30)))
    for tag, value in zip(fields[::2], fields[1::2], strict=True):
        at = next(at for at in range(10, 200, 12) if tile[at] | tile[at + 1] << 8 == tag)
        tile[at + 8 : at + 12] = struct.pack("<I", value)
    return bytes(tile)


def described(path: Path, text: str) -> None:
    written(path, (20, 30))
    with rasterio.open(path, "r+") as tile:
        tile.update_tags(TIFFTAG_IMAGEDESCRIPTION=text)


def filled(path: Path) -> None:
    written(path, (20, 30))
    with rasterio.open(path, "r+") as tile:
        tile.update_tags(NODATA_VALUES=str(int(tile.read(1)[3, 4])))


def overviewed(path: Path) -> None:
    with rasterio.open(written(path, (20, 30)), "r+") as tile:
        tile.build_overviews([2])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sensor", ["Sentinel1", "Sentinel2"])
@pytest.mark.parametrize("name", ODD)
def test_odd_tiles_are_read_as_by_rasterio(
    tmp_path: Path, name: str, sensor: str, backend: str
) -> None:
    kind = "float32" if sensor == "Sentinel1" else "uint16"
    good = [tmp_path / "a.tiff", tmp_path / "b.tiff"]
    for path in good:
        path.write_bytes(plain((20, 30), kind))
    ODD[name](tmp_path / "odd.tiff")
    odd, (first, second) = str(tmp_path / "odd.tiff"), map(str, good)
    scenes = [[first, second], [odd, odd], [second, first], [first, odd]]
    reading = Reader(2, backend)
    started = time.process_time()
    for _ in range(2):  # the second time, the size is known
        assert compare(reading, sensor, scenes) >= {0, 2}
    assert time.process_time() - started < 5


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_tile_without_permission_is_named(tmp_path: Path, backend: str) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path = tmp_path / "closed.tiff"
    path.write_bytes(plain((4, 4)))
    path.chmod(0)
    _, errors = Reader(1, backend).read("Sentinel2", [[str(path)]])
    assert "Permission denied" in str(errors[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_tile_that_vanishes_costs_its_scene_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    paths = [tmp_path / f"{i}.tiff" for i in range(6)]
    for path in paths:
        path.write_bytes(plain((20, 30)))
    scenes = [[str(path)] for path in paths]
    reading = Reader(1, backend)
    assert compare(reading, "Sentinel2", scenes) == set(range(6))
    paths[1].unlink()
    paths[4].write_bytes(paths[4].read_bytes()[:-600])
    assert compare(reading, "Sentinel2", scenes) == {0, 2, 3, 5}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["a\0b.tiff", "b\udcff.tiff", "x" * 300 + ".tiff", ""])
def test_names_that_no_tile_has(tmp_path: Path, backend: str, name: str) -> None:
    good = tmp_path / "good.tiff"
    good.write_bytes(plain((4, 4)))
    scenes = [[str(good)], [str(tmp_path / name)]]
    batches, errors = Reader(1, backend).read("Sentinel2", scenes)
    assert [batch.indices for batch in batches] == [(0,)]
    assert set(errors) == {1}


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
def test_sizes_may_be_mixed_in_a_call(tmp_path: Path, dtype: str, backend: str) -> None:
    sizes = [(1, 1), (20, 30), (30, 20), (256, 256), (1, 600)]
    scenes = []
    for i in range(30):
        for band in ("x", "y"):
            written(tmp_path / f"{i}{band}.tiff", sizes[i * i % 5], dtype, BLOCKYSIZE=1 + i % 3)
        scenes.append([str(tmp_path / f"{i}{band}.tiff") for band in ("x", "y")])
    scenes.append([scenes[0][0], scenes[1][1]])  # two sizes in one scene
    scenes.append([scenes[2][0]])  # one band alone
    reading = Reader(2, backend)
    for start in (0, 5, 11, 31):
        part = scenes[start:] + scenes[:start]
        assert len(compare(reading, SENSOR[dtype], part)) == 31
    assert compare(reading, SENSOR[dtype], []) == set()


@needs_core
def test_sensors_may_alternate(tmp_path: Path) -> None:
    reading = Reader(1, "native")
    (tmp_path / "radar.tiff").write_bytes(plain((20, 30), "float32"))
    (tmp_path / "optical.tiff").write_bytes(plain((20, 30), "uint16"))
    for _ in range(3):
        assert compare(reading, "Sentinel1", [[str(tmp_path / "radar.tiff")] * 2] * 3)
        assert compare(reading, "Sentinel2", [[str(tmp_path / "optical.tiff")] * 4] * 2)


@needs_core
@pytest.mark.usefixtures("alone")
def test_a_group_too_large_for_a_batch_is_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_LARGEST_BATCH", 3 * 20 * 30 * 2)
    scenes = []
    for i in range(8):
        content = encode_tiff(pixels_of((20, 30), seed=i))
        (tmp_path / f"{i}.tiff").write_bytes(content)
        scenes.append([str(tmp_path / f"{i}.tiff")])
    (tmp_path / "large.tiff").write_bytes(plain((90, 90)))
    reading = Reader(1, "native")
    for _ in range(2):
        batches, _ = reading.read("Sentinel2", [*scenes, [str(tmp_path / "large.tiff")]])
        assert sorted(len(batch.indices) for batch in batches) == [1, 2, 3, 3]
        for batch in batches:
            for i, pixels in zip(batch.indices, batch.pixels, strict=True):
                expected = pixels_of((20, 30), seed=i) if i < 8 else pixels_of((90, 90))
                np.testing.assert_array_equal(pixels, expected)


@needs_core
def test_the_buffer_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.tiff").write_bytes(plain((20, 30)))
    reading = Reader(1, "native")
    reading.read("Sentinel2", [[str(tmp_path / "a.tiff")]])
    addresses = set()
    for _ in range(3):
        ((batch,), _) = reading.read("Sentinel2", [[str(tmp_path / "a.tiff")]] * 4)
        addresses.add(batch.pixels.ctypes.data)
    assert len(addresses) == 1


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared tiles are not here")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("folder", ["multiearth-sample", "europe-pairs"])
@pytest.mark.parametrize(("sensor", "where"), [("Sentinel1", "sent1"), ("Sentinel2", "sent2")])
def test_real_tiles(folder: str, sensor: str, where: str, backend: str) -> None:
    first, *others = BANDS[sensor]
    scenes = []
    for path in sorted((SHARED / folder / where).glob(f"{sensor}_{first}_*.tiff")):
        names = [path.name.replace(first, band, 1) for band in (first, *others)]
        scenes.append([str(path.with_name(name)) for name in names])
    assert scenes
    assert compare(Reader(2, backend), sensor, scenes) == set(range(len(scenes)))


@cache
def sources() -> list[bytes]:
    """Whole tiles of every layout that the core takes, small, of both types."""
    found = []
    for size in ((1, 1), (3, 7), (16, 12)):
        for dtype in ("uint16", "float32"):
            shape = {"count": 1, "height": size[0], "width": size[1]}
            for place in ({}, PLACE):
                with MemoryFile() as memory:
                    options = {"driver": "GTiff", "dtype": dtype, "BLOCKYSIZE": 2, **shape, **place}
                    with memory.open(**options) as tile:
                        tile.write(pixels_of(size, dtype))
                        tile.update_tags(**({"note": "x"} if place else {}))
                    found.append(bytes(memory.read()))
            found += [plain(size, dtype), plain(size, dtype, data_first=True)]
            found.append(encode_tiff(pixels_of(size, dtype)))
    return found


def mutant(seed: int) -> bytes:
    """A damaged tile; the same for the same seed."""
    dice = random.Random(seed)
    tile = bytearray(dice.choice(sources()))
    head = len(tile) if dice.random() < 0.3 else min(len(tile), 180)
    match dice.randrange(6):
        case 0:  # cut
            del tile[dice.randrange(len(tile)) :]
        case 1:  # bits flipped
            for _ in range(dice.randint(1, 3)):
                tile[dice.randrange(head)] ^= 1 << dice.randrange(8)
        case 2:  # other bytes
            for _ in range(dice.randint(1, 4)):
                tile[dice.randrange(head)] = dice.choice([0, 1, 2, 3, 4, 8, 127, 255])
        case 3:  # a run of zeros
            start = dice.randrange(head)
            length = min(dice.randint(1, 16), len(tile) - start)
            tile[start : start + length] = bytes(length)
        case 4:  # grown
            tile += dice.randbytes(dice.randint(1, 300))
        case 5:  # one entry of the IFD takes another's tag, type, count or value
            ifd = int.from_bytes(tile[4:8], "little") + 2
            tags = int.from_bytes(tile[ifd - 2 : ifd], "little")
            begin, end = dice.choice([(0, 2), (2, 4), (4, 8), (8, 12)])
            one, other = (ifd + 12 * dice.randrange(tags) for _ in range(2))
            tile[one + begin : one + end] = tile[other + begin : other + end]
    return bytes(tile)


@needs_core
@pytest.mark.parametrize("mutants", [500, pytest.param(MUTANTS, marks=pytest.mark.slow)])
def test_mutants_are_read_as_by_rasterio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mutants: int
) -> None:
    # What the core leaves to rasterio needs no second reading to compare it with.
    left: list[NDArray[np.generic] | InputError] = []

    def reference(sensor: str, paths: list[Path], colors: int) -> tuple[NDArray[np.generic], bool]:
        try:
            left.append(read_bands(sensor, paths))
        except InputError as error:
            left.append(error)
            raise
        return left[-1], False

    monkeypatch.setattr(reader, "read_bands_and_type", reference)
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)
    path = tmp_path / "mutant.tiff"
    readings = {sensor: Reader(1, "native") for sensor in BANDS}
    taken = errors = 0
    for seed in range(mutants):
        path.write_bytes(mutant(seed))
        sensor = "Sentinel1" if seed % 2 else "Sentinel2"
        left.clear()
        batches, refused = readings[sensor].read(sensor, [[str(path)]])
        if refused:
            assert refused == {0: left[0]}
            assert path.name in str(left[0])
            errors += 1
            continue
        (batch,) = batches
        expected = left[0] if left else read_bands(sensor, [path])
        assert batch.pixels.shape == (1, *expected.shape)
        assert batch.pixels.tobytes() == expected.tobytes()
        taken += not left
    assert taken > mutants / 20
    assert errors > mutants / 5


@pytest.fixture
def unsettled(monkeypatch: pytest.MonkeyPatch):
    """Forget the backend before and after a test that changes what it depends on."""

    def forget() -> None:
        for cached in (reader.backend, native.load):
            cached.cache_clear()

    monkeypatch.delenv(reader.VARIABLE, raising=False)
    forget()
    yield monkeypatch
    monkeypatch.undo()
    forget()


def test_variable_forces_rasterio(unsettled) -> None:
    unsettled.setenv(reader.VARIABLE, "rasterio")
    assert reader.backend() == ("rasterio", "KIT_TILES names it")


def test_unknown_backend_is_refused(unsettled) -> None:
    unsettled.setenv(reader.VARIABLE, "gdal")
    with pytest.raises(InputError, match="choose native or rasterio"):
        Reader(1)


def test_all_scenes_are_read_a_few_at_a_time(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(reader, "_CACHED", 4 * 16 * 16 * 2 * 5)
    scenes = []
    for number in range(12):
        size = (16, 16) if number != 7 else (64, 64)
        paths = [tmp_path / f"{number}-{band}.tiff" for band in range(4)]
        for path in paths:
            path.write_bytes(plain(size))
        scenes.append([str(path) for path in paths])
    Path(scenes[3][0]).unlink()
    seen, calls = {}, []
    for start, batches, errors in Reader(1).read_all("Sentinel2", scenes):
        found = {start + i: b.pixels.shape[2:] for b in batches for i in b.indices}
        seen |= found | {start + i: error.problem for i, error in errors.items()}
        calls.append(len(found) + len(errors))
    assert calls == [1, 5, 5, 1]
    assert seen.pop(3).startswith("cannot be opened")
    assert seen == {i: (64, 64) if i == 7 else (16, 16) for i in range(12) if i != 3}


def test_without_a_core_rasterio_reads(unsettled, tmp_path: Path) -> None:
    unsettled.setattr("kit.__path__", [str(tmp_path)])
    name, why = reader.backend()
    assert name == "rasterio"
    assert "without kit_core" in why
    (tmp_path / "a.tiff").write_bytes(plain((4, 4)))
    assert compare(Reader(1), "Sentinel2", [[str(tmp_path / "a.tiff")]]) == {0}


def test_forced_core_that_is_missing_is_refused(unsettled, tmp_path: Path) -> None:
    unsettled.setattr("kit.__path__", [str(tmp_path)])
    unsettled.setenv(reader.VARIABLE, "native")
    with pytest.raises(InputError, match="install a C\\+\\+ compiler") as caught:
        Reader(1)
    assert caught.value.exit_code == 3

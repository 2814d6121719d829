"""A folder of tiles becomes scenes; what does not fit is listed, not lost."""

import gc
import itertools
import os
import random
import sys
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kit.errors import InputError
from kit.plain_text import printable
from kit.tiles.catalog import REPORT_EVERY, catalog
from kit.tiles.names import BANDS, SUFFIXES, SceneKey, TileName
from kit.tiles.scenes import Scenes
from tests.helpers.tiles import SHARED, key, optical, radar


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def test_both_layouts_give_the_same_scenes(tmp_path: Path) -> None:
    radar(tmp_path / "two", key())
    optical(tmp_path / "two", key())
    (tmp_path / "flat").mkdir()
    for path in (tmp_path / "two").rglob("*.tiff"):
        (tmp_path / "flat" / path.name).with_suffix(".tif").write_bytes(path.read_bytes())
    two, flat = catalog(tmp_path / "two"), catalog(tmp_path / "flat")
    assert [(s.sensor, s.key) for s in two.scenes] == [("Sentinel1", key()), ("Sentinel2", key())]
    assert [(s.sensor, s.key) for s in flat.scenes] == [(s.sensor, s.key) for s in two.scenes]
    assert not two.rejected and not flat.rejected


def test_bands_come_in_a_fixed_order(tmp_path: Path) -> None:
    optical(tmp_path, key())
    bands = [path.name.split("_")[1] for path in catalog(tmp_path).scenes[0].paths]
    assert bands == ["B4", "B3", "B2", "QA60"]


def test_a_missing_band_costs_its_scene_alone(tmp_path: Path) -> None:
    radar(tmp_path, key(0), bands=("VV",))
    radar(tmp_path, key(1))
    found = catalog(tmp_path)
    assert [scene.key for scene in found.scenes] == [key(1)]
    assert [(item.name, item.kind, item.reason) for item in found.rejected] == [
        (f"Sentinel1 {key(0)}", "missing band", "no VH")
    ]


def test_names_that_do_not_parse_and_duplicates_are_listed(tmp_path: Path) -> None:
    radar(tmp_path, key())
    (tmp_path / "Sentinel1_VV_nowhere.tiff").touch()
    (tmp_path / "sent1" / f"Sentinel1_VV_{key()}.tif").touch()
    found = catalog(tmp_path)
    assert len(found.scenes) == 1
    assert sorted(item.kind for item in found.rejected) == ["duplicate", "name"]


def test_the_order_of_a_folder_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vv, vh = f"Sentinel1_VV_{key()}", f"Sentinel1_VH_{key()}"
    touch(tmp_path, f"{vh}.tiff", "Sentinel1_VV_b.tif", "Sentinel1_VV_a.tif")
    touch(tmp_path / "sent1", f"{vv}.tiff", f"{vv}.tif", f"{vh}.tif", f"Sentinel1_VV_{key(1)}.tif")
    touch(tmp_path / "sent2", f"{vv}.tiff", f"{vv}.tif")
    listed, rng = os.scandir, random.Random(0)

    @contextmanager
    def shuffled(folder: str) -> Iterator[list[os.DirEntry[str]]]:
        with listed(folder) as entries:
            found = list(entries)
        rng.shuffle(found)
        yield found

    monkeypatch.setattr(os, "scandir", shuffled)
    for _ in range(20):
        found = catalog(tmp_path)
        assert [scene.files for scene in found.scenes] == [
            (str(tmp_path / "sent1" / f"{vv}.tif"), str(tmp_path / f"{vh}.tiff"))
        ]
        same = f"the same tile as {tmp_path}/"
        assert [(item.name, item.kind, item.reason) for item in found.rejected] == [
            ("Sentinel1_VV_a.tif", "name", "not a tile name"),
            ("Sentinel1_VV_b.tif", "name", "not a tile name"),
            (f"{vh}.tif", "duplicate", f"{same}{vh}.tiff"),
            (f"{vv}.tiff", "duplicate", f"{same}sent1/{vv}.tif"),
            (f"{vv}.tif", "duplicate", f"{same}sent1/{vv}.tif"),
            (f"{vv}.tiff", "duplicate", f"{same}sent1/{vv}.tif"),
            (f"Sentinel1 {key(1)}", "missing band", "no VH"),
        ]


def test_other_folders_are_left_alone_so_that_no_truth_slips_into_training(tmp_path: Path) -> None:
    radar(tmp_path / "test", key())
    with pytest.raises(InputError, match="sent1/ and sent2/"):
        catalog(tmp_path)


def test_linked_folders_are_followed(tmp_path: Path) -> None:
    radar(tmp_path / "disk", key())
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sent1").symlink_to(tmp_path / "disk" / "sent1")
    assert len(catalog(tmp_path / "data").scenes) == 1


def test_unused_bands_and_other_files_are_no_mistake(tmp_path: Path) -> None:
    radar(tmp_path, key())
    (tmp_path / f"Sentinel2_B8A_{key()}.tiff").touch()
    (tmp_path / f"Landsat8_QA_PIXEL_{key()}.tiff").touch()
    (tmp_path / "readme.txt").touch()
    found = catalog(tmp_path)
    assert len(found.scenes) == 1
    assert not found.rejected


def test_a_suffix_in_capitals_and_bytes_that_are_no_text_are_listed(tmp_path: Path) -> None:
    radar(tmp_path, key())
    touch(tmp_path, f"Sentinel1_VV_{key(1)}.TIFF", os.fsdecode(b"Sentinel1_V\xff.tif"))
    assert [(item.name, item.kind) for item in catalog(tmp_path).rejected] == [
        (f"Sentinel1_VV_{key(1)}.TIFF", "name"),
        ("Sentinel1_V\\xff.tif", "name"),
    ]


def test_a_name_is_enough_whatever_it_names(tmp_path: Path) -> None:
    b4, b3, b2, qa60 = (tmp_path / f"Sentinel2_{b}_{key()}.tiff" for b in BANDS["Sentinel2"])
    b4.mkdir()
    os.mkfifo(b3)
    b2.symlink_to("nowhere")
    qa60.symlink_to(qa60)
    assert [scene.paths for scene in catalog(tmp_path).scenes] == [(b4, b3, b2, qa60)]


FIELDS = (  # of a name: what they may be, and what they may not
    (("Sentinel1", "Sentinel2", "Landsat8", "sentinel2"), ("Sentinel\u0662", "Sentinel-2", "")),
    (("VV", "B4", "QA60", "B8A", "QA_PIXEL", "B4_1", "_"), ("B-4", "B\u0664", "B\xc4", "B4 ", "")),
    (("-54.48", "54.5", "00.0"), ("+54.48", "-.48", "54", "--1.0", "1e3.0", "\u0665.0", "")),
    (("-3.33", "3.3333333", "-0.0"), ("3.", "-3.3\uff13", "3_3.0", "3,3", "")),
    (("2016_10_09", "2020_02_29", "0999_12_31"),
     ("2016_02_30", "0000_01_01", "2016_1_9", "\u0662016_10_09", "2016_10_09_", "2016_10_09\n")),
    ((".tiff", ".tif"), (".TIFF", ".tiff\n", "\n.tif", ".tif.tiff", ".png", "")),
)  # fmt: skip


@given(
    st.tuples(*(st.sampled_from(good) for good, _ in FIELDS)),
    st.sampled_from([{}, *({n: odd} for n, (_, odds) in enumerate(FIELDS) for odd in odds)]),
)
@example(("Sentinel2", "B4_1", "-54.48", "-3.33", "2016_10_09", ".tif"), {})
@example(("Sentinel2", "B4", "-54.48", "-3.33", "0999_12_31", ".tif"), {})
def test_the_catalog_and_the_tile_agree_on_names(
    fields: tuple[str, ...], odd: dict[int, str]
) -> None:
    *stem, suffix = (odd.get(n, field) for n, field in enumerate(fields))
    name = "_".join(stem) + suffix
    with tempfile.TemporaryDirectory() as folder:
        touch(Path(folder), *(f"Sentinel1_{band}_{key()}.tiff" for band in ("VV", "VH")), name)
        found = catalog(Path(folder))
    assert [scene.key for scene in found.scenes] == [key()]
    rejected = [(item.name, item.kind, item.reason) for item in found.rejected]
    try:
        tile = TileName.parse(name)
    except InputError as error:
        assert odd
        listed = name.lower().endswith(SUFFIXES)
        assert rejected == ([(printable(name), "name", error.problem)] if listed else [])
        return
    assert not odd
    place = "_".join((tile.scene.lon, tile.scene.lat, *tile.scene.date.isoformat().split("-")))
    assert name == f"{tile.sensor}_{tile.band}_{place}{suffix}"
    assert name.isascii()
    assert SceneKey.parse(place) == tile.scene
    if tile.band in BANDS.get(tile.sensor, ()):
        missing = " and ".join(f"no {b}" for b in BANDS[tile.sensor] if b != tile.band)
        assert rejected == [(f"{tile.sensor} {place}", "missing band", missing)]
    else:
        assert not rejected


@pytest.mark.parametrize("text", ["", "1.0_2.0", "1_2_2020_06_01", "1.0_2.0_2020_6_1",
                                  "1.0_2.0_2020_02_30", "1.0_2.0_2020_06_01\n"])  # fmt: skip
def test_other_texts_are_no_scene(text: str) -> None:
    with pytest.raises(InputError):
        SceneKey.parse(text)


def test_scenes_are_sorted_and_cut_like_a_tuple(tmp_path: Path) -> None:
    # Text sorts -5.1 before -5.12; as part of a longer text it would not.
    places = ("-5.1", "-5.12", "-5.2", "5.10", "51.0")
    for lon, lat, day in itertools.product(places, places, ("2020_06_01", "2019_12_31")):
        names = [f"{s}_{band}_{lon}_{lat}_{day}.tif" for s in BANDS for band in BANDS[s]]
        touch(tmp_path, *names)
    found = catalog(tmp_path)
    made = tuple(found.scenes)
    assert list(made) == sorted(made, key=lambda scene: (scene.sensor, scene.key))
    assert len(made) == len(found.scenes) == 100
    assert tuple(reversed(found.scenes)) == made[::-1]
    for cut in (slice(3, 40), slice(-7, None), slice(None, None, -9), slice(200, 300)):
        assert tuple(found.scenes[cut]) == made[cut]
    assert found.scenes[20:40][-1] == made[39]
    with pytest.raises(IndexError):
        found.scenes[100]
    assert tuple(found.of("Sentinel1")) == made[:50]
    assert tuple(found.of("Sentinel2")) == made[50:]
    assert not found.of("Landsat8")


@pytest.mark.slow
def test_a_large_folder_costs_its_names_alone(tmp_path: Path) -> None:
    days = [str(key(0, day)).split("_", 2)[2] for day in range(125)]
    places = [f"{-55 + 0.02 * place:.2f}_-4.00" for place in range(40)]
    for band, place, day in itertools.product(BANDS["Sentinel2"], places, days):
        os.close(os.open(tmp_path / f"Sentinel2_{band}_{place}_{day}.tiff", os.O_CREAT))
    files = len(BANDS["Sentinel2"]) * len(places) * len(days)
    told: list[tuple[int, int]] = []
    catalog(tmp_path)  # what is made once is not counted
    gc.collect()
    tracemalloc.start()
    try:
        found = catalog(tmp_path, lambda done, total, words="": told.append((done, total)))
        held, peak = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        seen = set()
        for first in range(0, len(found.scenes), 500):
            part = found.scenes[first : first + 500]
            assert isinstance(part, Scenes)
            seen |= {hash(scene.files) for scene in part}
        largest = tracemalloc.get_traced_memory()[1] - held
    finally:
        tracemalloc.stop()
    assert (files, len(found.scenes), len(seen), len(found.rejected)) == (20_000, 5_000, 5_000, 0)
    assert told[: files // REPORT_EVERY] == [
        (done, 0) for done in range(REPORT_EVERY, files + 1, REPORT_EVERY)
    ]
    assert told[-1] == (files, 0)
    # Measured: 39 bytes a file at most, 24 in the end. A Path for each took 575.
    assert peak < 64 * files
    # One hash a scene is kept here, some 100 bytes; a Scene with its files takes 900.
    assert largest < 200 * len(seen)


@pytest.mark.parametrize("library", ["xarray", "h5netcdf", "h5py"])
def test_netcdf_files_need_libraries_that_tiffs_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    for name in ("xarray", "h5netcdf", "h5py"):  # none need be there for this test
        monkeypatch.setitem(sys.modules, name, None if name == library else ModuleType(name))
    radar(tmp_path, key())
    assert len(catalog(tmp_path).scenes) == 1
    (tmp_path / "sent1" / "sent1_train.nc").touch()
    remedy = r"pip install 'sar-to-optical-kit\[netcdf\]'"
    with pytest.raises(InputError, match=rf"sent1_train.nc: needs {library}, .*\n  {remedy}"):
        catalog(tmp_path)
    with pytest.raises(InputError, match=rf"sent1_train.nc: needs {library}, .*\n  {remedy}"):
        catalog(tmp_path / "sent1" / "sent1_train.nc")


@pytest.mark.parametrize("where", ["", "sent1"])
def test_a_folder_that_cannot_be_listed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    radar(tmp_path, key())
    listed = os.scandir

    def scandir(folder: str) -> object:
        if Path(folder) == tmp_path / where:
            raise PermissionError(13, "Permission denied")
        return listed(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError, match=rf"{tmp_path / where}: cannot be listed \(Permission"):
        catalog(tmp_path)


@pytest.mark.parametrize("kind", ["missing", "file", "empty", "foreign"])
def test_a_wrong_folder_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "data"
    if kind == "file":
        folder.touch()
    elif kind != "missing":
        folder.mkdir()
    if kind == "foreign":
        (folder / "holiday.tiff").touch()
    with pytest.raises(InputError, match=r"data: .*"):
        catalog(folder)


@pytest.mark.skipif(not SHARED.exists(), reason="needs the official sample in ../shared/data")
def test_the_official_sample() -> None:
    found = catalog(SHARED / "multiearth-sample")
    assert (len(found.of("Sentinel1")), len(found.of("Sentinel2"))) == (4, 13)
    assert not found.rejected

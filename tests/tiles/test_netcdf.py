"""Scenes in .nc files: those of the same tiles as TIFFs, or a named reason why not."""

import csv
import gc
import os
import random
import signal
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kit.errors import InputError
from kit.inputs.dataset import PairDataset, batches
from kit.pairs.prepare import prepare
from kit.pairs.table import fingerprint, read_pairs
from kit.pairs.tile_pairs import TilePairs
from kit.prediction.predict import predict
from kit.screening.rule import CloudRule
from kit.screening.screen import screen
from kit.tiles import netcdf
from kit.tiles.bands import read_bands
from kit.tiles.catalog import Catalog, catalog
from kit.tiles.hdf5_chunks import Chunks
from kit.tiles.names import BANDS, SceneKey
from kit.tiles.netcdf import Plane, file_of, parse_file, read_places
from kit.tiles.netcdf_file import NcFile
from kit.tiles.reader import Reader
from tests.helpers.inputs import planes
from tests.helpers.mutants import MUTANTS
from tests.helpers.soak import cases
from tests.helpers.tiles import SHARED, optical, radar
from tests.helpers.tiles import key as place

xr = pytest.importorskip("xarray", reason="needs xarray: pip install xarray h5netcdf h5py")
pytest.importorskip("h5netcdf", reason="needs h5netcdf: pip install h5netcdf")
h5py = pytest.importorskip("h5py", reason="needs h5py: pip install h5py")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """No file is open, and none is opened by another process first: that takes two seconds.

    Returns that process, for the tests of it.
    """
    trial = netcdf._try
    monkeypatch.setattr(netcdf, "_try", lambda file: None)
    netcdf._OPEN.clear()
    return trial


SAMPLE = SHARED / "multiearth-sample"
needs_sample = pytest.mark.skipif(
    not SAMPLE.exists(), reason="needs the official sample in ../shared/data"
)
SOURCE = {"Sentinel1": "Sentinel-1", "Sentinel2": "Sentinel-2"}
S1, S2 = ("VH", "VV"), ("B1", "B2", "B3", "B4", "QA60")  # in the order of the official files
SIZE = 8


def key(number: int = 0, day: int = 0) -> SceneKey:
    """Scenes of one place, day after day, so that they are sorted."""
    return place(0, number + day)


def images(sensor: str, scenes: int, bands: int, size: int = SIZE) -> NDArray[Any]:
    """Noise [scenes, bands, 1, H, W] as the sensor has it."""
    random = np.random.default_rng(bands)
    shape = (scenes, bands, 1, size, size)
    if sensor == "Sentinel1":
        return random.normal(-10, 3, shape).astype(np.float32)
    return random.integers(1, 900, shape, dtype=np.uint16)


def dataset(sensor: str, keys: list[SceneKey], bands: tuple[str, ...] | None = None) -> Any:
    """Scenes as the official files hold them."""
    bands = bands or (S1 if sensor == "Sentinel1" else S2)
    first = key().date
    days = np.array([(item.date - first).days for item in keys], np.int64)
    centres = np.array([[float(item.lat), float(item.lon)] for item in keys]).reshape(-1, 2)
    dims = ("index", "data_band", "channel", "row", "col")
    return xr.Dataset(
        {
            "images": (dims, images(sensor, len(keys), len(bands))),
            "collection_dates": ("index", days, {"units": f"days since {first}"}),
            "center_lat_lons": (("index", "geo_coord"), centres),
        },
        coords={
            "index": np.arange(len(keys)) + 87,  # labels, which need not count from 0
            "data_band": list(bands),
            "geo_coord": ["lat", "lon"],
        },
        attrs={"data_source": SOURCE[sensor], "image_gsd": 10},
    )


def written(path: Path, data: Any, **storage: Any) -> Path:
    """Write a file; deflated and shuffled, a scene in a chunk, if nothing else is said."""
    if "images" in data:
        shape = data["images"].sizes
        one = tuple(1 if dim == "index" else size for dim, size in shape.items())
        plain = {"zlib": True, "shuffle": True, "chunksizes": one} if shape["index"] else {}
        storage = plain | storage
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    encoding = {"images": storage} if "images" in data else {}
    data.to_netcdf(path, engine="h5netcdf", encoding=encoding)
    return path


def keys(number: int) -> list[SceneKey]:
    return [key(place) for place in range(number)]


def listed(found: Catalog) -> list[tuple[str, str]]:
    return [(item.name, item.kind) for item in found.rejected]


def pixels_of(found: Catalog, sensor: str) -> dict[SceneKey, NDArray[Any]]:
    return {scene.key: read_bands(sensor, scene.paths) for scene in found.of(sensor)}


@pytest.mark.slow
@needs_sample
def test_the_sample_gives_the_same_in_both_forms(tmp_path: Path) -> None:
    tables: dict[str, Any] = {}
    for form, folder in (("tiff", SAMPLE), ("nc", SAMPLE / "netcdf")):
        work = tmp_path / form
        summary = prepare(folder, work, rule=CloudRule(), window_days=500, max_cloud=0.2, holdout=0)
        pairs = read_pairs(work / "pairs.parquet")
        plain = [replace(pair, radar_paths=(), optical_paths=()) for pair in pairs]
        scenes = pq.read_table(work / "scenes.parquet").drop_columns(["paths"])
        found = catalog(folder)
        pixels = [read_bands(scene.sensor, scene.paths) for scene in found.scenes]
        tables[form] = (
            summary, plain, fingerprint(pairs), scenes.to_pydict(),
            [(scene.sensor, scene.key) for scene in found.scenes], found.rejected,
            [(image.dtype.name, image.tobytes()) for image in pixels],
            [*csv.reader((work / "rejected.csv").open())],
        )  # fmt: skip
    assert tables["nc"] == tables["tiff"]
    summary = tables["nc"][0]
    assert (summary.scenes_s1, summary.scenes_s2, summary.pairs) == (4, 13, 6)
    assert any(ratio for ratio in tables["nc"][3]["cloud_ratio"])


def test_a_single_file_will_do(tmp_path: Path) -> None:
    file = written(tmp_path / "radar.nc", dataset("Sentinel1", keys(3)))
    found = catalog(file)
    assert [scene.key for scene in found.scenes] == sorted(keys(3))
    assert not found.rejected
    result = screen(file, tmp_path / "work", rule=CloudRule())
    assert (result.scenes_s1, result.scenes_s2, result.measured) == (3, 0, 3)


def test_optical_floats_are_read_as_those_of_tiffs(tmp_path: Path) -> None:
    data = dataset("Sentinel2", keys(2))
    data["images"].loc[{"data_band": "QA60"}] = 0
    before = pixels_of(catalog(written(tmp_path / "dn.nc", data)), "Sentinel2")
    file = written(tmp_path / "r.nc", data.assign(images=data["images"].astype("f4") / 10_000))
    assert pixels_of(catalog(file), "Sentinel2").keys() == before.keys()
    for scene, pixels in pixels_of(catalog(file), "Sentinel2").items():
        np.testing.assert_array_equal(pixels, before[scene])
    with pytest.raises(InputError, match=r"2 of 2 optical scenes hold floats(.|\n)*--any-units"):
        screen(file, tmp_path / "work")
    assert screen(file, tmp_path / "work", units="any").scenes_s2 == 2


@pytest.mark.parametrize("bands", [("VH", "VV"), ("VV", "VH"), ("HH", "VV", "VH")])
@pytest.mark.parametrize("order", ["index data_band channel row col", "data_band col row index"])
def test_bands_and_axes_go_by_name(tmp_path: Path, bands: tuple[str, ...], order: str) -> None:
    data = dataset("Sentinel1", keys(3), bands)
    expected = {
        item: data["images"].values[i][[bands.index(band) for band in BANDS["Sentinel1"]], 0]
        for i, item in enumerate(keys(3))
    }
    dims = order.split()
    if "channel" not in dims:
        data = data.isel(channel=0)
    turned = data.assign(images=data["images"].transpose(*dims))
    turned["center_lat_lons"] = turned["center_lat_lons"].isel(geo_coord=[1, 0]).T
    found = catalog(written(tmp_path / "radar.nc", turned))
    read = pixels_of(found, "Sentinel1")
    assert read.keys() == expected.keys()
    assert all(np.array_equal(read[item], expected[item]) for item in expected)


STORAGE: dict[str, dict[str, Any]] = {
    "as the edition": {},
    "deflated": {"shuffle": False},
    "shuffled": {"zlib": False},
    "plain chunks": {"zlib": False, "shuffle": False},
    "checksum": {"fletcher32": True},
    "two scenes a chunk": {"chunksizes": (2, 5, 1, SIZE, SIZE)},
    "a band a chunk": {"chunksizes": (1, 1, 1, SIZE, SIZE)},
    "contiguous": {"zlib": False, "shuffle": False, "chunksizes": None, "contiguous": True},
    "big-endian": {"dtype": ">u2"},
    "fill value": {"_FillValue": 7},
}


@pytest.mark.parametrize("storage", STORAGE)
def test_however_it_is_stored_the_pixels_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str
) -> None:
    data = dataset("Sentinel2", keys(3))
    data["images"].values[1, :, :, :2] = 7
    file = written(tmp_path / "optical.nc", data, **STORAGE[storage])
    with h5py.File(file) as opened:
        held = opened["images"]
        assert STORAGE[storage].get("chunksizes", (1, 5, 1, SIZE, SIZE)) == held.chunks
        assert held.fletcher32 == (storage == "checksum")
        assert (held.dtype.byteorder == ">") == (storage == "big-endian")
    bands = [S2.index(band) for band in BANDS["Sentinel2"]]
    expected = {item: data["images"].values[i, bands, 0] for i, item in enumerate(keys(3))}
    if storage == "fill value":
        expected = {item: np.where(image == 7, 0, image) for item, image in expected.items()}
    direct: list[int] = []
    raw = Chunks.raw

    def counted(self: Chunks, index: int) -> bytes | None:
        direct.append(index)
        return raw(self, index)

    monkeypatch.setattr(Chunks, "raw", counted)
    read = pixels_of(catalog(file), "Sentinel2")
    fast = storage not in ("checksum", "two scenes a chunk", "a band a chunk", "contiguous")
    # The bands of a scene share a chunk, which is inflated once.
    assert sorted(direct) == ([0, 1, 2] if fast else [])
    for item, image in expected.items():
        assert read[item].dtype == np.uint16 and np.array_equal(read[item], image)
    monkeypatch.setattr(Chunks, "of", lambda *_: None)
    netcdf._OPEN.clear()
    plain = pixels_of(catalog(file), "Sentinel2")
    assert all(np.array_equal(plain[item], image) for item, image in read.items())


def test_a_declared_fill_value_is_nodata(tmp_path: Path) -> None:
    data = dataset("Sentinel1", keys(2))
    data["images"].values[0, 0, 0, 0, :3] = -9999
    data["images"].values[0, 1, 0, 1, :3] = np.nan
    data["images"].attrs["missing_value"] = np.float32(-9999)
    found = catalog(written(tmp_path / "radar.nc", data))
    vv, vh = pixels_of(found, "Sentinel1")[key(0)]
    assert np.isnan(vh[0, :3]).all() and np.isnan(vv[1, :3]).all()
    assert np.isnan(vv).sum() == np.isnan(vh).sum() == 3


def test_a_scene_that_was_never_written_is_nodata(tmp_path: Path) -> None:
    file = written(tmp_path / "radar.nc", dataset("Sentinel1", keys(2)))
    with h5py.File(file, "r+") as opened:
        for name in ("images", "collection_dates", "center_lat_lons"):
            held = opened[name]
            if name == "images":
                made = held.parent.create_dataset(
                    "sparse", (2, *held.shape[1:]), held.dtype, chunks=held.chunks, fillvalue=np.nan
                )
                made[0] = held[0]
                for number, dim in enumerate(held.dims):
                    made.dims[number].attach_scale(dim[0])
        del opened["images"]
        opened.move("sparse", "images")
    read = pixels_of(catalog(file), "Sentinel1")
    assert np.isfinite(read[key(0)]).all() and np.isnan(read[key(1)]).all()


def test_the_parts_of_sentinel_2_repeat_qa60_and_that_is_no_mistake(tmp_path: Path) -> None:
    places = keys(4)
    written(tmp_path / "a_b5-b8.nc", dataset("Sentinel2", places, ("B5", "B8A", "QA60")))
    written(tmp_path / "b_b1-b4.nc", dataset("Sentinel2", places[:3]))
    found = catalog(tmp_path)
    assert [scene.key for scene in found.scenes] == sorted(places[:3])
    assert {file_of(file) for scene in found.scenes for file in scene.files} == {
        str(tmp_path / "b_b1-b4.nc")
    }
    assert not found.rejected
    with pytest.raises(InputError, match="holds no scene"):
        catalog(tmp_path / "a_b5-b8.nc")


def test_bands_of_a_scene_may_lie_in_several_files(tmp_path: Path) -> None:
    places = keys(3)
    one = dataset("Sentinel2", places, ("B2", "B4"))
    two = dataset("Sentinel2", places[::-1], ("B3", "QA60"))
    written(tmp_path / "one.nc", one)
    written(tmp_path / "sent2" / "two.nc", two)
    found = catalog(tmp_path)
    assert not found.rejected
    for i, item in enumerate(places):
        b2, b4 = one["images"].values[i, :, 0]
        b3, qa60 = two["images"].values[2 - i, :, 0]
        read = pixels_of(found, "Sentinel2")[item]
        assert np.array_equal(read, np.stack([b4, b3, b2, qa60]))


def test_a_band_that_no_file_has_costs_its_scenes(tmp_path: Path) -> None:
    written(tmp_path / "vv.nc", dataset("Sentinel1", keys(2), ("VV",)))
    written(tmp_path / "vh.nc", dataset("Sentinel1", keys(1), ("VH",)))
    found = catalog(tmp_path)
    assert [scene.key for scene in found.scenes] == [key(0)]
    assert [(item.name, item.reason) for item in found.rejected] == [
        (f"Sentinel1 {key(1)}", "no VH")
    ]


def test_tiffs_beside_a_file_come_first_and_duplicates_are_listed(tmp_path: Path) -> None:
    radar(tmp_path, key(0), size=SIZE)
    radar(tmp_path, key(1), size=SIZE, bands=("VV",))
    file = written(tmp_path / "radar.nc", dataset("Sentinel1", keys(3)))
    found = catalog(tmp_path)
    kinds = [[file_of(name) == str(file) for name in scene.files] for scene in found.scenes]
    assert kinds == [[False, False], [False, True], [True, True]]
    where = tmp_path / "sent1"
    assert [(item.name, item.kind, item.reason) for item in found.rejected] == [
        (f"Sentinel1 {key(i)}", "duplicate",
         f"{bands} of radar.nc::{i}: the same tile as {where}/Sentinel1_VV_{key(i)}.tiff")
        for i, bands in enumerate(("VV, VH", "VV"))
    ]  # fmt: skip
    for scene in found.scenes:
        assert read_bands("Sentinel1", scene.paths).shape == (2, SIZE, SIZE)


def test_of_scenes_at_two_indices_the_first_is_kept(tmp_path: Path) -> None:
    data = dataset("Sentinel1", [key(0), key(1), key(0), key(0)])
    file = written(tmp_path / "radar.nc", data)
    found = catalog(file)
    first = f"{file}::Sentinel1_VV_{key(0)}::0"
    assert [scene.key for scene in found.scenes] == [key(0), key(1)]
    assert str(found.scenes[0].files[0]) == first
    assert [(item.name, item.kind, item.reason) for item in found.rejected] == [
        (f"Sentinel1 {key(0)}", "duplicate",
         f"VV, VH of radar.nc::{index}: the same tile as {first}")
        for index in (2, 3)
    ]  # fmt: skip


@pytest.mark.parametrize(("lat", "lon", "names"), [
    (-4.39, -55.2, ("-55.20", "-4.39")),
    (-0.001, 0.004, ("0.00", "0.00")),
    (-4.3900000000000006, -55.19999999999999, ("-55.20", "-4.39")),
    (np.nan, -55.2, None), (-4.39, np.inf, None), (-91.0, 0.0, None), (0.0, 180.5, None),
])  # fmt: skip
def test_centres_become_the_coordinates_of_names(
    tmp_path: Path, lat: float, lon: float, names: tuple[str, str] | None
) -> None:
    data = dataset("Sentinel1", keys(2))
    data["center_lat_lons"].values[1] = lat, lon
    found = catalog(written(tmp_path / "radar.nc", data))
    if names:
        assert names in {(scene.key.lon, scene.key.lat) for scene in found.scenes}
        assert not found.rejected
    else:
        assert [scene.key for scene in found.scenes] == [key(0)]
        assert listed(found) == [("Sentinel1 radar.nc::1", "name")]


@pytest.mark.parametrize(("value", "attributes", "day"), [
    (1, {"units": "days since 2020-02-28"}, "2020-02-29"),
    (-1, {"units": "days since 2020-01-01 00:00:00", "calendar": "standard"}, "2019-12-31"),
    (47, {"units": "hours since 2020-6-1T00:00:00Z"}, "2020-06-02"),
    (1.75, {"units": "days since 2020-06-01"}, "2020-06-02"),
    (2_000_000, {"units": "days since 0001-01-01"}, "5476-10-25"),
    (2**62, {"units": "days since 2020-06-01"}, None),
    (-(2**63), {"units": "days since 2020-06-01"}, None),
    (np.nan, {"units": "days since 2020-06-01"}, None),
    (np.inf, {"units": "seconds since 2020-06-01"}, None),
    (-1, {"units": "days since 2020-06-01", "_FillValue": -1}, None),
])  # fmt: skip
def test_dates_are_exact_or_listed(
    tmp_path: Path, value: float, attributes: dict[str, Any], day: str | None
) -> None:
    data = dataset("Sentinel1", keys(2))
    dtype = np.array(value).dtype
    if "_FillValue" in attributes:
        attributes |= {"_FillValue": dtype.type(attributes["_FillValue"])}
    data["collection_dates"] = ("index", np.array([0, value], dtype), attributes)
    found = catalog(written(tmp_path / "radar.nc", data))
    days = {scene.key.date.isoformat() for scene in found.scenes}
    assert len(days) == (2 if day else 1)
    if day:
        assert day in days and not found.rejected
    else:
        assert listed(found) == [("Sentinel1 radar.nc::1", "name")]


def test_dates_agree_with_xarray(tmp_path: Path) -> None:
    data = dataset("Sentinel1", keys(3))
    data["collection_dates"].values[:] = 0, 1234, 2435
    file = written(tmp_path / "radar.nc", data)
    with xr.open_dataset(file, engine="h5netcdf") as decoded:
        expected = decoded["collection_dates"].dt.strftime("%Y_%m_%d").values.tolist()
    found = [place[2] for place in read_places(str(file)) if not isinstance(place, InputError)]
    assert found == expected


def changed(**attributes: Any) -> Callable[[Any], Any]:
    return lambda data: data.assign_attrs(attributes)


def on(name: str, **attributes: Any) -> Callable[[Any], Any]:
    def change(data: Any) -> Any:
        data[name].attrs.update(attributes)
        return data

    return change


ODD: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no images": (lambda data: data.drop_vars("images"), "has no images"),
    "no dates": (lambda data: data.drop_vars("collection_dates"), "no collection_dates"),
    "no centres": (lambda data: data.drop_vars("center_lat_lons"), "no center_lat_lons"),
    "no bands": (lambda data: data.drop_vars("data_band"), "no data_band"),
    "two channels": (lambda data: xr.concat([data, data], "channel", data_vars="minimal"),
                     r"images\(.*channel=2"),
    "no rows": (lambda data: data.rename(row="line"), r"images\(.*line=8"),
    "no scene": (lambda data: data.isel(index=slice(0)), "holds no scene"),
    "a band twice": (lambda data: data.assign_coords(data_band=["VV", "VV"]), "band twice: VV, VV"),
    "unknown bands": (lambda data: data.assign_coords(data_band=["HH", "HV"]), "HV, none of VV"),
    "integers": (lambda data: data.assign(images=data["images"].astype("i2")),
                 "pixels are int16, and Sentinel1"),
    "another source": (changed(data_source="MODIS"), "data_source is 'MODIS'"),
    "no source": (lambda data: data.drop_attrs(deep=False), "data_source is ''"),
    "scaled": (on("images", scale_factor=0.1), "images has the scale_factor 0.1"),
    "shifted": (on("collection_dates", add_offset=3), "collection_dates has the add_offset 3"),
    "other units": (on("collection_dates", units="fortnights since 2020-06-01"), "fortnights"),
    "no units": (on("collection_dates", units=""), "the units ''"),
    "a wrong day": (on("collection_dates", units="days since 2019-02-29"), "2019-02-29"),
    "half days": (on("collection_dates", units="days since 2019-02-28 12:00"), "12:00"),
    "another calendar": (on("collection_dates", calendar="360_day"), "360_day"),
    "dates are texts": (lambda data: data.assign(collection_dates=("index", ["a", "b"])),
                        "collection_dates are"),
    "three coordinates": (
        lambda data: data.drop_vars(["center_lat_lons", "geo_coord"]).assign(
            center_lat_lons=(("index", "xyz"), np.zeros((2, 3)))), r"center_lat_lons\(.*xyz=3"),
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD)
def test_a_file_of_another_form_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    change, words = ODD[odd]
    file = written(tmp_path / "sent1" / "odd.nc", change(dataset("Sentinel1", keys(2))))
    with pytest.raises(InputError, match=rf"odd.nc: .*{words}"):
        catalog(file)
    with pytest.raises(InputError, match=rf"holds no tile.*odd.nc: .*{words}"):
        catalog(tmp_path)
    radar(tmp_path, key(5))
    found = catalog(tmp_path)
    assert [scene.key for scene in found.scenes] == [key(5)]
    assert listed(found) == [("odd.nc", "NetCDF")]


def damage(kind: str, path: Path) -> None:
    good = path.read_bytes()
    path.unlink()
    if kind == "a fifo":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a dangling link":
        path.symlink_to("nowhere")
    else:
        data = {
            "empty": b"", "text": b"no tile" * 99, "half": good[: len(good) // 2],
            "netcdf 3": b"CDF\x01" + bytes(200), "a TIFF": b"II*\0" + bytes(200),
            "no end": good[:-1],
        }  # fmt: skip
        path.write_bytes(data[kind])


@pytest.mark.parametrize("kind", ["a fifo", "a folder", "a dangling link", "empty", "text", "half",
                                  "netcdf 3", "a TIFF", "no end"])  # fmt: skip
def test_what_is_no_whole_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    file = written(tmp_path / "odd.nc", dataset("Sentinel1", keys(2)))
    damage(kind, file)
    radar(tmp_path, key(5))
    found = catalog(tmp_path)
    assert len(found.scenes) == 1
    assert listed(found) == [("odd.nc", "NetCDF")]
    if kind != "a folder":
        with pytest.raises(InputError, match=r"odd\.nc: "):
            catalog(file)


@pytest.mark.slow
def test_the_first_process_to_open_a_file_says_what_is_wrong_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: Callable[[str], None]
) -> None:
    monkeypatch.setattr(netcdf, "_try", fresh)
    good = written(tmp_path / "good.nc", dataset("Sentinel1", keys(2)))
    bad = written(tmp_path / "bad.nc", ODD["scaled"][0](dataset("Sentinel1", keys(2))))
    opened: list[str] = []
    monkeypatch.setattr(netcdf, "NcFile", lambda path: opened.append(path) or NcFile(path))
    assert len(catalog(good).scenes) == 2
    with pytest.raises(InputError, match=r"scale_factor 0.1\n  write dB"):
        catalog(bad)
    assert opened == [str(good)]


@pytest.mark.slow
@pytest.mark.parametrize(("trial", "words"), [
    ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "opening it crashes HDF5 .SIGSEGV"),
    ("import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 2))\nwhile True: pass",
     "did not finish opening it within"),
])  # fmt: skip
def test_a_file_that_hdf5_hangs_or_dies_of_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fresh: Callable[[str], None],
    trial: str,
    words: str,
) -> None:
    file = written(tmp_path / "odd.nc", dataset("Sentinel1", keys(2)))
    monkeypatch.setattr(netcdf, "_TRIAL", trial)
    with pytest.raises(InputError, match=rf"odd\.nc: .*{words}"):
        fresh(str(file))


def test_other_satellites_are_passed_over(tmp_path: Path) -> None:
    landsat = dataset("Sentinel2", keys(2), ("SR_B4", "QA_PIXEL")).assign_attrs(
        data_source="Landsat-8"
    )
    written(tmp_path / "landsat8.nc", landsat)
    written(
        tmp_path / "sent2.nc", dataset("Sentinel2", keys(1)).assign_attrs(data_source="Sentinal-2")
    )
    found = catalog(tmp_path)
    assert [(scene.sensor, scene.key) for scene in found.scenes] == [("Sentinel2", key())]
    assert not found.rejected


def test_a_damaged_scene_costs_itself_alone(tmp_path: Path) -> None:
    file = written(tmp_path / "optical.nc", dataset("Sentinel2", keys(4)))
    with h5py.File(file) as opened:
        at = opened["images"].id.get_chunk_info(1)
    with file.open("r+b") as raw:
        raw.seek(at.byte_offset + at.size // 2)
        raw.write(bytes(20))
    result = screen(tmp_path, tmp_path / "work", rule=CloudRule())
    assert (result.scenes_s2, result.measured) == (3, 4)
    (item,) = result.rejected
    assert (item.name, item.kind) == (f"Sentinel2 {key(1)}", "unreadable")
    assert item.reason.startswith(f"optical.nc::Sentinel2_B4_{key(1)}::1: not readable")


@pytest.mark.slow
def test_few_bytes_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    file = written(tmp_path / "radar.nc", dataset("Sentinel1", keys(2)))
    with h5py.File(file, "r+") as opened:
        opened["images"].id.write_direct_chunk((0, 0, 0, 0, 0), zlib.compress(bytes(2**26)))
    found = catalog(file)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"::0: not readable"):
            read_bands("Sentinel1", found.scenes[0].paths)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_claims_beyond_reason_are_refused(tmp_path: Path) -> None:
    for name, shape, chunk in (
        ("scenes", (10**9, 2, 1, 8, 8), (1, 2, 1, 8, 8)),
        ("pixels", (4, 2, 1, 2**20, 2**20), (1, 1, 1, 8, 8)),
        ("chunk", (2**12, 2, 1, 256, 256), (2**12, 2, 1, 256, 256)),
    ):
        file = sparse(tmp_path / f"{name}.nc", shape, chunk)
        with pytest.raises(InputError, match=f"{name}.nc: has images"):
            NcFile(str(file))


def sparse(path: Path, shape: tuple[int, ...], chunk: tuple[int, ...]) -> Path:
    """A Sentinel-1 file without a pixel, and with as many centres and dates as fit in a test."""
    import h5netcdf

    n = shape[0]
    with h5netcdf.File(path, "w") as file:
        dims = ("index", "data_band", "channel", "row", "col")
        file.dimensions = dict(zip(dims, shape, strict=True)) | {"two": 2}
        file.create_variable("images", dims, "f4", chunks=chunk, compression="gzip")
        file.create_variable("data_band", ("data_band",), h5py.string_dtype())[:] = np.array(
            ["VH", "VV"], object
        )
        dates = file.create_variable("collection_dates", ("index",), "i8", chunks=(min(n, 4096),))
        dates.attrs["units"] = "days since 2015-04-30"
        centres = file.create_variable("center_lat_lons", ("index", "two"), "f8", chunks=(1, 2))
        if n < 10**6:
            number = np.arange(n)
            dates[:] = number % 500
            centres[:] = np.stack([-4 + 0.02 * (number // 500), np.full(n, -55.0)], axis=1)
        file.attrs["data_source"] = "Sentinel-1"
    return path


@pytest.mark.slow
def test_a_long_file_costs_its_names_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n = 20_000
    file = sparse(tmp_path / "long.nc", (n, 2, 1, 256, 256), (1, 2, 1, 256, 256))
    catalog(file)  # what is made once is not counted
    gc.collect()
    tracemalloc.start()
    try:
        found = catalog(file)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(found.scenes), len(found.rejected)) == (n, 0)
    assert len({scene.files for scene in found.scenes}) == n
    # Measured: 116 bytes a scene in the end, 329 at most.
    assert held < 160 * n
    assert peak < 480 * n


@pytest.mark.slow
def test_another_file_in_its_place_does_not_pass_for_it(tmp_path: Path) -> None:
    places = keys(3)
    file = written(tmp_path / "radar.nc", dataset("Sentinel1", places))
    paths = {scene.key: scene.paths for scene in catalog(file).scenes}
    before = read_bands("Sentinel1", paths[key(1)])
    written(file, dataset("Sentinel1", [places[0], places[2], places[1]]))
    with pytest.raises(
        InputError, match=rf"the file has another scene there: {key(2)}\n.*prepare DATA"
    ):
        read_bands("Sentinel1", paths[key(1)])
    written(file, dataset("Sentinel1", places[:1]))
    with pytest.raises(InputError, match=r"::1: the file has only 1 scenes\n"):
        read_bands("Sentinel1", paths[key(1)])
    written(file, dataset("Sentinel1", places, ("VH",)))
    with pytest.raises(InputError, match=r"Sentinel1_VV_.*: the file holds VH"):
        read_bands("Sentinel1", paths[key(1)])
    written(file, dataset("Sentinel2", places))
    with pytest.raises(InputError, match="the file holds Sentinel2"):
        read_bands("Sentinel1", paths[key(1)])
    file.unlink()
    with pytest.raises(InputError, match="cannot be opened"):
        read_bands("Sentinel1", paths[key(1)])
    written(file, dataset("Sentinel1", places))
    assert np.array_equal(read_bands("Sentinel1", paths[key(1)]), before)


def test_screening_again_reads_what_changed(tmp_path: Path) -> None:
    data, work = tmp_path / "data", tmp_path / "work"
    file = written(data / "optical.nc", dataset("Sentinel2", keys(3)))
    assert screen(data, work, rule=CloudRule()).measured == 3
    assert screen(data, work, rule=CloudRule()).measured == 0
    os.utime(file, ns=(1, 1))
    assert screen(data, work, rule=CloudRule()).measured == 3


def test_the_batch_reader_takes_tiles_and_planes_together(tmp_path: Path) -> None:
    written(tmp_path / "radar.nc", dataset("Sentinel1", keys(5)))
    radar(tmp_path, key(7), size=SIZE)
    radar(tmp_path, key(8), size=2 * SIZE)
    found = [[*scene.files] for scene in catalog(tmp_path).scenes]
    other = [f"{tmp_path}/radar.nc::Sentinel1_{b}_{key(0)}::4" for b in ("VV", "VH")]
    found.insert(1, [*map(parse_file, other)])
    for threads in (1, 3):
        read, errors = Reader(threads).read("Sentinel1", found)
        assert errors.keys() == {1} and "another scene" in str(errors[1])
        seen = {i: p for part in read for i, p in zip(part.indices, part.pixels, strict=True)}
        assert sorted(seen) == [0, 2, 3, 4, 5, 6, 7]
        for i, pixels in seen.items():
            expected = read_bands("Sentinel1", found[i])
            assert np.array_equal(pixels, expected)


@pytest.mark.slow
def test_more_files_than_may_be_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netcdf, "_MOST_OPEN", 2)
    for i in range(4):
        written(tmp_path / f"{i}.nc", dataset("Sentinel1", [key(i)]))
    found = catalog(tmp_path)
    for scene in [*found.scenes, *found.scenes]:
        assert read_bands("Sentinel1", scene.paths).shape == (2, SIZE, SIZE)
        assert len(netcdf._OPEN) <= 2


@pytest.mark.slow
def test_threads_and_forks_read_the_same(tmp_path: Path) -> None:
    file = written(tmp_path / "optical.nc", dataset("Sentinel2", keys(12)))
    scenes = [*catalog(file).scenes]
    expected = [read_bands("Sentinel2", scene.paths).tobytes() for scene in scenes]

    def right(number: int) -> bool:
        i = number % len(scenes)
        return read_bands("Sentinel2", scenes[i].paths).tobytes() == expected[i]

    before = threading.active_count()
    with ThreadPoolExecutor(4) as pool:
        busy = [pool.submit(right, number) for number in range(400)]
        codes = []
        for number in range(8):  # while the threads read
            child = os.fork()
            if not child:
                signal.alarm(30)
                assert not netcdf._OPEN
                os._exit(0 if all(right(number + i) for i in range(24)) else 1)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        assert all(task.result() for task in busy)
    assert codes == [0] * 8
    assert threading.active_count() <= before


def test_from_files_to_batches_and_predictions(trained: Path) -> None:
    data = trained / "nc"
    for scene in (key(0), key(0, 12)):
        radar(trained / "tiles", scene)
        optical(trained / "tiles", SceneKey(scene.lon, scene.lat, scene.date), size=32)
    for sensor, folder, bands in (("Sentinel1", "sent1", S1), ("Sentinel2", "sent2", S2[1:])):
        places = [key(0), key(0, 12)]
        made = dataset(sensor, places, bands)
        tiles = [[trained / "tiles" / folder / f"{sensor}_{b}_{p}.tiff" for b in bands]
                 for p in places]  # fmt: skip
        pixels = np.stack([read_bands(sensor, paths) for paths in tiles])[:, :, None]
        made = made.drop_vars("images").assign(
            images=(("index", "data_band", "channel", "row", "col"), pixels)
        )
        written(data / f"{folder}.nc", made)
    results = {}
    for form in ("tiles", "nc"):
        prepare(trained / form, trained / form / "work", rule=CloudRule(), holdout=0)
        pairs = read_pairs(trained / form / "work" / "pairs.parquet")
        assert len(pairs) == 2
        samples = PairDataset(planes(), TilePairs(), pairs, crop=32)
        read = [*batches(samples, epoch=0, batch=1, workers=2)]
        again = [*batches(samples, epoch=0, batch=1)]
        assert all(a.inputs.equal(b.inputs) for a, b in zip(read, again, strict=True))
        predictions = trained / form / "predictions"
        run = predict("spade2", trained / form, runs=Path("runs"), predictions=predictions)
        assert (run.scenes, run.done) == (2, 2)
        rerun = predict("spade2", trained / form, runs=Path("runs"), predictions=predictions)
        assert (rerun.done, rerun.skipped) == (0, 2)
        arrays = {path.name: np.load(path).tobytes() for path in predictions.rglob("*.npy")}
        results[form] = ([sample.target.numpy().tobytes() for sample in read], arrays)
    assert results["nc"] == results["tiles"]


@given(
    st.sampled_from(["/data/a.nc", "b.nc", "/a::b.nc/c.nc", "/x.nc::y/z.nc", "/with blank/\n.nc"]),
    st.sampled_from([("Sentinel1", "VV"), ("Sentinel2", "QA60"), ("Landsat8", "QA_PIXEL")]),
    st.sampled_from([("-55.20", "-4.39"), ("0.00", "12.30")]),
    st.integers(0, 10**7),
)
def test_a_name_says_what_it_is_of(
    file: str, tile: tuple[str, str], place: tuple[str, str], index: int
) -> None:
    plane = Plane(file, *tile, (*place, "2020_06_01"), index)
    assert Plane.parse(str(plane)) == plane
    assert file_of(plane) == file
    if file.startswith("/") and "\n" not in file:
        assert Plane.parse(str(Path(str(plane)))) == plane
    assert parse_file(str(plane)) == plane


@pytest.mark.parametrize("text", [
    "a.nc", "a.nc::", "a.nc::VV::1", "a.nc::Sentinel1_VV::1", "a.tiff",
    "a.nc::Sentinel1_VV_-55.20_-4.39_2019_05_27::-1", "::", "",
    "a.nc::Sentinel1_VV_-55.20_-4.39_2019_05_27::\u0661",
    "a.nc::Sentinel1_VV_-55.20_-4.39_2019_05_27::1\n",
    "a.nc::Sentinel1_VV_-55.20_-4.39_2019_05_27::" + "9" * 5000,
])  # fmt: skip
def test_other_texts_name_no_plane(text: str) -> None:
    assert Plane.parse(text) is None
    assert parse_file(text) == text
    assert file_of(text) == text


def test_a_plane_reads_like_a_tile(tmp_path: Path) -> None:
    data = dataset("Sentinel1", keys(2))
    scene = catalog(written(tmp_path / "radar.nc", data)).scenes[1]
    assert np.array_equal(
        read_bands("Sentinel1", scene.files[:1])[0], data["images"].values[1, 1, 0]
    )


def mutated(data: bytes, number: int) -> bytes:
    """Some bytes changed, and every fifth file cut."""
    draw = random.Random(number)
    changed = bytearray(data)
    if number % 5 == 0:
        del changed[draw.randrange(len(changed)) :]
    for _ in range(draw.choice((1, 2, 4, 16, 64))):
        if changed:
            changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def read_or_refuse(file: Path) -> None:
    """In a process of its own: what crashes HDF5, or keeps it busy, ends that."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    signal.setitimer(signal.ITIMER_PROF, 5)  # seconds of work
    try:
        found = catalog(file)
        batches, errors = Reader(1).read("Sentinel1", [scene.files for scene in found.scenes])
        right = sum(len(b.indices) for b in batches) + len(errors) == len(found.scenes)
    except InputError as error:
        right = bool(error.problem) and "bad.nc" in str(error)
    os._exit(0 if right else 1)


@pytest.mark.slow
def test_a_mutated_file_never_gets_past_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: Callable[[str], None]
) -> None:
    data = written(tmp_path / "good.nc", dataset("Sentinel1", keys(4))).read_bytes()
    bad = tmp_path / "bad.nc"
    monkeypatch.setattr(netcdf, "_SECONDS", 5)
    for number in cases("mutants-netcdf", MUTANTS, few=12):
        bad.write_bytes(mutated(data, number))
        if not (child := os.fork()):
            try:
                read_or_refuse(bad)
            finally:
                os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code <= 0, number
        if code < 0:
            with pytest.raises(InputError, match=r"bad\.nc"):
                fresh(str(bad))

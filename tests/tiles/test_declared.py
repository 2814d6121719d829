"""What a tile declares of its pixels holds, whoever reads it: scale, masks, nodata, place."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from rasterio.enums import ColorInterp

from kit.errors import InputError
from kit.tiles import reader, sidecars
from kit.tiles.bands import read_bands, scene_grid
from kit.tiles.reader import Reader, read_scene
from kit.tiles.tiff import read_raster
from tests.helpers.core import NATIVE, needs_core
from tests.helpers.gdal import gdal_environment
from tests.helpers.tiles import read_tile

SIZE = (8, 12)
NORTH_UP = rasterio.Affine(0.1, 0, -55, 0, -0.1, -4)
LOWEST = np.finfo("f4").min


def tile(path: Path, dtype: str = "uint16", value: float = 300, **options: object) -> Path:
    """A tile of values that differ by column; the first is `value`."""
    pixels = np.broadcast_to(value + np.arange(SIZE[1]), SIZE).astype(dtype)
    shape = {"count": 1, "height": SIZE[0], "width": SIZE[1]}
    with rasterio.open(path, "w", driver="GTiff", dtype=dtype, **shape, **options) as made:
        made.write(pixels, 1)
    return path


def reopened(path: Path, change: Callable[[rasterio.io.DatasetWriter], object]) -> Path:
    with rasterio.open(path, "r+") as made:
        change(made)
    return path


def scaled(made: rasterio.io.DatasetWriter) -> None:
    made.scales = (0.01,)


def moved(made: rasterio.io.DatasetWriter) -> None:
    made.scales, made.offsets = (1.0,), (-1000.0,)


def masked(path: Path, *, internal: bool) -> Path:
    """A tile whose last four columns are not valid."""
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
        return reopened(tile(path), lambda made: made.write_mask(columns() < SIZE[1] - 4))


def columns() -> np.ndarray:
    return np.broadcast_to(np.arange(SIZE[1]), SIZE)


def with_alpha(path: Path) -> Path:
    pixels = np.stack([300 + columns(), np.where(columns() < 8, 65535, 0)]).astype("uint16")
    shape = {"count": 2, "height": SIZE[0], "width": SIZE[1]}
    with rasterio.open(path, "w", driver="GTiff", dtype="uint16", alpha="yes", **shape) as made:
        made.colorinterp = ColorInterp.gray, ColorInterp.alpha
        made.write(pixels)
    return path


def by_sidecar(path: Path) -> Path:
    """A tile whose nodata value is in the XML that GDAL keeps beside it."""
    xml = "<PAMDataset><PAMRasterBand band='1'><NoDataValue>309</NoDataValue></PAMRasterBand>"
    path.with_name(f"{path.name}.aux.xml").write_text(f"{xml}</PAMDataset>")
    return tile(path)


@pytest.fixture(params=["rasterio", NATIVE])
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


def read_both(backend: str, sensor: str, files: list[Path]) -> np.ndarray:
    """The scene as a reader gives it, which is what `read_bands` gives."""
    batches, errors = Reader(1, backend).read(sensor, [[str(file) for file in files]])
    if errors:
        with pytest.raises(InputError) as caught:
            read_bands(sensor, files)
        assert str(caught.value) == str(errors[0])
        raise errors[0]
    pixels = batches[0].pixels[0]
    assert pixels.tobytes() == read_bands(sensor, files).tobytes()
    return pixels.copy()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (scaled, "declares the scale 0.01 and the offset 0"),
        (moved, "declares the scale 1 and the offset -1000"),
    ],
)
def test_a_scale_or_an_offset_is_refused(tmp_path: Path, backend: str, change, problem) -> None:
    path = reopened(tile(tmp_path / "a.tiff"), change)
    with pytest.raises(InputError, match=rf"a\.tiff: {problem}\n.*gdal_translate -unscale"):
        read_both(backend, "Sentinel2", [path])


def test_a_scale_in_a_sidecar_is_refused(tmp_path: Path, backend: str) -> None:
    path = tile(tmp_path / "a.tiff")
    xml = "<PAMDataset><PAMRasterBand band='1'><Scale>0.1</Scale></PAMRasterBand></PAMDataset>"
    path.with_name("a.tiff.aux.xml").write_text(xml)
    with pytest.raises(InputError, match=r"declares the scale 0\.1"):
        read_both(backend, "Sentinel2", [path])


@pytest.mark.parametrize("note", [{"units": "DN"}, {"AREA_OR_POINT": "Area"}])
def test_other_metadata_are_no_reason(tmp_path: Path, backend: str, note: dict[str, str]) -> None:
    path = reopened(tile(tmp_path / "a.tiff"), lambda made: made.update_tags(**note))
    assert read_both(backend, "Sentinel2", [path])[0, 0, 0] == 300


def test_a_table_of_colours_is_refused(tmp_path: Path, backend: str) -> None:
    path = tile(tmp_path / "a.tiff", photometric="palette")
    reopened(path, lambda made: made.write_colormap(1, {0: (0, 0, 0), 1: (255, 0, 0)}))
    with pytest.raises(InputError, match=r"a\.tiff: holds the indices of a table of colours"):
        read_both(backend, "Sentinel2", [path])


@pytest.mark.parametrize(
    "make",
    [
        lambda path: masked(path, internal=True),
        lambda path: masked(path, internal=False),
        with_alpha,
        lambda path: reopened(tile(path), lambda made: made.write_mask(columns() < 8)),
    ],
    ids=["internal", "sidecar", "alpha", "default"],
)
def test_pixels_under_a_mask_are_nodata(tmp_path: Path, backend: str, make) -> None:
    pixels = read_both(backend, "Sentinel2", [make(tmp_path / "a.tiff")])
    np.testing.assert_array_equal(pixels[0], np.where(columns() < 8, 300 + columns(), 0))


def test_a_nodata_value_in_a_sidecar_holds(tmp_path: Path, backend: str) -> None:
    pixels = read_both(backend, "Sentinel2", [by_sidecar(tmp_path / "a.tiff")])
    np.testing.assert_array_equal(pixels[0], np.where(columns() == 9, 0, 300 + columns()))


def test_a_radar_pixel_under_a_mask_is_nan(tmp_path: Path, backend: str) -> None:
    paths = [tile(tmp_path / f"{name}.tiff", "float32", -20) for name in "ab"]
    reopened(paths[1], lambda made: made.write_mask(columns() < 8))
    pixels = read_both(backend, "Sentinel1", paths)
    assert not np.isnan(pixels[0]).any()
    np.testing.assert_array_equal(np.isnan(pixels[1]), columns() >= 8)


def test_a_nodata_value_of_six_digits_is_that_of_the_pixels(tmp_path: Path, backend: str) -> None:
    """As other programs write it: -3.40282e+38 for the lowest number of its type."""
    pixels = np.where(columns() < 8, -12.0, LOWEST).astype("f4") + columns().astype("f4")
    path, tag = tmp_path / "a.tiff", (42113, "s", 0, "-3.40282e+38", True)
    tifffile.imwrite(path, pixels, photometric="minisblack", extratags=[tag])
    found = read_both(backend, "Sentinel1", [path, path])
    np.testing.assert_array_equal(np.isnan(found), np.stack([columns() >= 8] * 2))


@pytest.mark.parametrize("declares", range(3))
def test_an_optical_pixel_that_one_band_lacks_is_nodata_in_all(
    tmp_path: Path, backend: str, declares: int
) -> None:
    files = [
        tile(tmp_path / f"{band}.tiff", nodata=311 if band == declares else None)
        for band in range(4)
    ]
    pixels = read_both(backend, "Sentinel2", files)
    assert (pixels[:3, :, 11] == 0).all()
    assert (pixels[3, :, 11] == 311).all()
    assert (pixels[:, :, :11] != 0).all()


def test_flags_declared_invalid_leave_the_colours(tmp_path: Path, backend: str) -> None:
    """QA60 is 0 wherever the sky is clear, and many writers declare 0 as nodata."""
    files = [tile(tmp_path / f"{band}.tiff") for band in range(3)]
    files.append(tile(tmp_path / "qa60.tiff", value=0, nodata=0))
    assert (read_both(backend, "Sentinel2", files)[:3] != 0).all()


def test_a_dark_band_alone_is_no_nodata(tmp_path: Path, backend: str) -> None:
    files = [tile(tmp_path / f"{band}.tiff", value=0 if band == 2 else 300) for band in range(3)]
    pixels = read_both(backend, "Sentinel2", files)
    assert (pixels[:2] != 0).all() and (pixels[2, :, 0] == 0).all()


def test_bands_that_lie_elsewhere_are_refused(tmp_path: Path, backend: str) -> None:
    shifted = NORTH_UP @ rasterio.Affine.translation(1, 0)
    a = tile(tmp_path / "a.tiff", transform=NORTH_UP, crs="EPSG:4326")
    b = tile(tmp_path / "b.tiff", transform=shifted, crs="EPSG:4326")
    c = tile(tmp_path / "c.tiff", transform=NORTH_UP, crs="EPSG:32721")
    with pytest.raises(InputError, match=r"b\.tiff: its corners lie 1 pixels apart \(a\.tiff\)"):
        read_both(backend, "Sentinel2", [a, b])
    with pytest.raises(InputError, match=r"c\.tiff: its CRS is EPSG:32721, the other's EPSG:4326"):
        read_both(backend, "Sentinel2", [a, c])


def test_bands_that_lie_together_are_one_scene(tmp_path: Path, backend: str) -> None:
    near = NORTH_UP @ rasterio.Affine.translation(0.2, 0.2)
    a = tile(tmp_path / "a.tiff", transform=NORTH_UP, crs="EPSG:4326")
    b = tile(tmp_path / "b.tiff", transform=near, crs="EPSG:4326")
    nowhere = tile(tmp_path / "c.tiff")
    for files in ([a, a], [a, b], [a, nowhere], [nowhere, a]):
        assert read_both(backend, "Sentinel2", files).shape == (2, *SIZE)
    grid = scene_grid([nowhere, a])
    assert grid and grid.crs == "EPSG:4326" and grid.transform == tuple(NORTH_UP)[:6]
    assert scene_grid([nowhere]) is None


def test_south_up_is_refused(tmp_path: Path, backend: str) -> None:
    south_up = rasterio.Affine(0.1, 0, -55, 0, 0.1, -4)
    path = tile(tmp_path / "a.tiff", transform=south_up, crs="EPSG:4326")
    with pytest.raises(InputError, match=r"a\.tiff: is south-up: its first row"):
        read_both(backend, "Sentinel2", [path])


@needs_core
def test_a_plain_tile_among_others_stays_the_cores(tmp_path: Path, monkeypatch) -> None:
    plain, odd = tile(tmp_path / "plain.tiff"), by_sidecar(tmp_path / "odd.tiff")
    left: list[str] = []

    def rasterio_reads(sensor: str, files: list[str], colors: int) -> tuple[np.ndarray, bool]:
        left.extend(files)
        return np.zeros((1, 1, 1)), False

    monkeypatch.setattr(reader, "read_bands_and_type", rasterio_reads)
    monkeypatch.setattr(reader, "_batches", lambda found: [])
    Reader(1, "native").read("Sentinel2", [[str(plain)], [str(odd)]])
    assert left == [str(odd)]


def test_a_folder_is_listed_once_and_again_asked_when_it_changes(tmp_path: Path) -> None:
    paths = [str(tile(tmp_path / f"{name}.tiff")) for name in "ab"]
    assert sidecars.with_sidecars(paths) == set()
    (tmp_path / "a.tiff.msk").touch()
    assert sidecars.with_sidecars(paths) == {paths[0]}
    os.utime(tmp_path, ns=(0, 0))  # long ago: from now on a listing holds
    assert sidecars.with_sidecars(paths) == {paths[0]}
    (tmp_path / "b.tiff.aux.xml").touch()
    assert sidecars.with_sidecars(paths) == set(paths)
    assert sidecars.with_sidecars([str(tmp_path / "nowhere" / "c.tiff")]) == set()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GDAL_DISABLE_READDIR_ON_OPEN", "EMPTY_DIR"),
        ("GDAL_PAM_ENABLED", "NO"),
        ("GTIFF_IGNORE_READ_ERRORS", "YES"),
        ("GDAL_GEOREF_SOURCES", "NONE"),
    ],
)
def test_the_environment_changes_nothing(tmp_path: Path, variable: str, value: str) -> None:
    path = by_sidecar(tmp_path / "a.tiff")
    placed = tile(tmp_path / "b.tiff", transform=NORTH_UP, crs="EPSG:4326", nodata=311)
    before = [read_raster(path), read_raster(placed)]
    with rasterio.Env(**{variable: value}):
        after = [read_raster(path), read_raster(placed)]
    with gdal_environment(variable, value):
        after += [read_raster(path), read_raster(placed)]
    for raster, other in zip(before * 2, after, strict=True):
        assert other.pixels.tobytes() == raster.pixels.tobytes()
        assert other.grid == raster.grid
    assert read_tile(path)[0, 9] == 0
    assert read_scene("Sentinel2", [placed])[0, 0, 11] == 0

"""Floats of 16 bits, which GDAL reads as float32, are named by whatever reads tiles."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from kit.errors import InputError
from kit.pairs.prepare import prepare
from kit.screening.screen import screen
from kit.tiles.bands import read_bands
from kit.tiles.catalog import catalog
from kit.tiles.reader import Reader, read_scene
from tests.helpers.core import NATIVE
from tests.helpers.netcdf import write_netcdf
from tests.helpers.tiles import in_float16, key, world

BACKENDS = ["rasterio", NATIVE]
RADAR = "2 of 3 radar scenes hold float16, which rounds dB to 0.02"
OPTICAL = "1 of 3 optical scenes hold float16, which rounds DN above 2048 to 2 or 4"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three places; of one both polarisations are float16, of another VH alone."""
    data = world(tmp_path / "data", places=3, dates=1)
    in_float16(*data.rglob(f"Sentinel1_*_{key(0)}.tiff"), *data.rglob(f"*_VH_{key(1)}.tiff"))
    return data


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_reader_says_so_and_reads_what_is_there(data: Path, backend: str) -> None:
    scenes = [
        [str(data / "sent1" / f"Sentinel1_{band}_{key(place)}.tiff") for band in ("VV", "VH")]
        for place in range(3)
    ]
    batches, errors = Reader(1, backend).read("Sentinel1", scenes)
    found = {
        index: is_float16
        for batch in batches
        for index, is_float16 in zip(batch.indices, batch.float16, strict=True)
    }
    assert not errors and found == {0: True, 1: True, 2: False}
    vv, _ = read_scene("Sentinel1", scenes[0])
    np.testing.assert_array_equal(vv, vv.astype(np.float16))
    assert read_bands("Sentinel1", scenes[1]).dtype == np.float32


def test_screening_tells_once_how_many_though_nothing_is_read_again(
    data: Path, tmp_path: Path
) -> None:
    for measured in (6, 0):
        result = screen(data, tmp_path / "work")
        assert result.measured == measured
        assert result.doubts == (f"{RADAR}: write float32, if you have the original",)
    # It is no question of units, so that admitting these does not silence it.
    assert screen(data, tmp_path / "work", units="any").doubts == (RADAR,)
    with pytest.raises(InputError, match=RADAR):
        screen(data, tmp_path / "work", units="strict")
    lines: list[str] = []
    prepare(data, tmp_path / "work", holdout=0, report=lines.append)
    assert [line for line in lines if "float16" in line] == [*result.doubts]


def test_optical_floats_that_are_admitted_are_named_too(data: Path, tmp_path: Path) -> None:
    in_float16(*data.rglob(f"Sentinel2_*_{key(0, 2)}.tiff"))
    with pytest.raises(InputError, match="1 of 3 optical scenes hold floats"):
        screen(data, tmp_path / "work")
    told = screen(data, tmp_path / "work", units="any").doubts
    assert told[0].startswith("1 of 3 optical scenes hold floats: read are 1 as DN")
    assert told[1:] == (RADAR, OPTICAL)


@pytest.mark.usefixtures("trusted_netcdf")
def test_a_netcdf_file_of_it_is_refused_for_netcdf_has_no_such_type(
    data: Path, tmp_path: Path
) -> None:
    write_netcdf(data, tmp_path / "radar.nc", "Sentinel1")
    with h5py.File(tmp_path / "radar.nc", "a") as file:
        pixels, scales = file["images"][...], [dim[0].name for dim in file["images"].dims]
        del file["images"]
        images = file.create_dataset("images", data=pixels.astype("f2"))
        for dim, scale in zip(images.dims, scales, strict=True):
            dim.attach_scale(file[scale])
    with pytest.raises(InputError, match=r"pixels are float16(.|\n)*write float32"):
        catalog(tmp_path / "radar.nc")

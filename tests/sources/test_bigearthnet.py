"""Six real pairs of BigEarthNet, from Ireland to Finland, are read as what they are."""

import json
import tarfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform

from kit.pairs.prepare import prepare
from kit.pairs.summary import read_units
from kit.pairs.table import PAIRS, Pair, read_pairs
from kit.sources.count import count_pairs, measure_radar
from kit.tiles.bands import read_bands

PACKAGE = "bigearthnet-common"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of both sensors, as the package's wheel holds them."""
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        pytest.skip(f"{PACKAGE} is not installed")
    folder = tmp_path_factory.mktemp("bigearthnet")
    for sensor in ("S1", "S2"):
        name = f"bigearthnet_common/BigEarthNet-{sensor}-Example.tar.bz2"
        with tarfile.open(package.locate_file(name)) as archive:
            archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def prepared(real: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """What is told of them, and the folder of their tables."""
    work, lines = tmp_path_factory.mktemp("work"), list[str]()
    prepare(real, work, holdout=0, report=lines.append, announce=lines.append)
    return lines, work


def scenes_of(real: Path, pair: Pair) -> Iterator[tuple[str, Path]]:
    """The sensor and the original folder of both scenes of a pair."""
    for sensor, tiles in (("S1", pair.radar_paths), ("S2", pair.optical_paths)):
        yield sensor, Path(str(tiles[0])).resolve().parent


def test_each_radar_scene_goes_with_the_optical_one_that_its_json_names(
    real: Path, prepared: tuple[list[str], Path]
) -> None:
    lines, work = prepared
    pairs = read_pairs(work / PAIRS)
    assert len(pairs) == 6 and count_pairs(real) == 6 and measure_radar(real) == (6, 120, 120)
    assert lines[0].startswith("source bigearthnet (") and lines[0].endswith(": train 6")
    assert "units: dB and DN" in lines and read_units(work) is None
    for pair in pairs:
        (_, radar), (_, optical) = scenes_of(real, pair)
        about = json.loads((radar / f"{radar.name}_labels_metadata.json").read_text())
        assert about["corresponding_s2_patch"] == optical.name
        assert f"{pair.radar.date:%Y-%m-%d}" == about["acquisition_time"][:10]
        assert abs((pair.radar.date - pair.optical.date).days) <= 1


def test_a_place_is_the_centre_that_the_json_gives(
    real: Path, prepared: tuple[list[str], Path]
) -> None:
    for pair in read_pairs(prepared[1] / PAIRS):
        for _, folder in scenes_of(real, pair):
            about = json.loads((folder / f"{folder.name}_labels_metadata.json").read_text())
            at = about["coordinates"]
            x, y = (at["ulx"] + at["lrx"]) / 2, at["uly"] - 600  # 120 pixels of 10 m
            (lon,), (lat,) = transform(about["projection"], "EPSG:4326", [x], [y])
            assert float(pair.radar.lon) == pytest.approx(lon, abs=2e-5)
            assert float(pair.radar.lat) == pytest.approx(lat, abs=2e-5)


def test_pixels_are_those_of_the_files_and_those_of_land(
    real: Path, prepared: tuple[list[str], Path]
) -> None:
    for pair in read_pairs(prepared[1] / PAIRS):
        (_, radar), (_, optical) = scenes_of(real, pair)
        for found, folder, bands in (
            (read_bands("Sentinel1", pair.radar_paths), radar, ("VV", "VH")),
            (read_bands("Sentinel2", pair.optical_paths), optical, ("B04", "B03", "B02")),
        ):
            for pixels, band in zip(found, bands, strict=False):
                with rasterio.open(folder / f"{folder.name}_{band}.tif") as file:
                    np.testing.assert_array_equal(pixels, file.read(1))
        vv, vh = read_bands("Sentinel1", pair.radar_paths)
        assert -16 < np.median(vv) < -6 and 4 < np.median(vv - vh) < 10

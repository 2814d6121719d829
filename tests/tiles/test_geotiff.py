"""GeoTIFFs that other programs open."""

from pathlib import Path

import numpy as np
import pytest

from kit.tiles.geotiff import write_geotiff
from kit.tiles.raster import Grid
from tests.helpers.gdal import gdal_environment

GRID = Grid((10.0, 0.0, 400000.0, 0.0, -10.0, 5400000.0), "EPSG:32633")


@pytest.mark.parametrize(
    "setting",
    ["GDAL_TIFF_ENDIANNESS=BIG", "GTIFF_DONT_WRITE_BLOCKS=YES", "GTIFF_MAX_CUMULATED_MEM_USAGE=1"],
)
def test_gdals_settings_in_the_environment_change_no_byte(tmp_path: Path, setting: str) -> None:
    pixels = np.random.default_rng(0).integers(1, 9999, (3, 32, 32)).astype(np.uint16)

    def written(name: str) -> bytes:
        tags = {"unit": "DN"}
        path = tmp_path / name
        return write_geotiff(path, pixels, GRID, "rgb", tags, is_color=True).read_bytes()

    before = written("plain.tif")
    with gdal_environment(*setting.split("=")):
        assert written("changed.tif") == before

"""The tiles of other bands, beside those that the catalogue lists."""

from pathlib import Path

import numpy as np
import pytest

from kit.tiles.catalog import catalog
from kit.tiles.names import TileName
from kit.tiles.neighbors import neighbor
from kit.tiles.netcdf import Plane
from kit.tiles.tiff import write_tile
from tests.helpers.netcdf import write_netcdf
from tests.helpers.tiles import key, optical


def test_a_band_is_found_beside_whatever_its_suffix(tmp_path: Path) -> None:
    optical(tmp_path, key())
    (scene,) = catalog(tmp_path).scenes
    assert neighbor(scene.files[0], "B8") is None
    name = TileName("Sentinel2", "B8", key())
    write_tile(tmp_path / "sent2", name, np.ones((32, 32), np.uint16))
    path = tmp_path / "sent2" / str(name)
    assert neighbor(scene.files[0], "B8") == str(path)
    other = path.rename(path.with_suffix(".tif"))
    assert neighbor(scene.files[0], "B8") == str(other)
    assert neighbor(Path(scene.files[0]), "B8A") is None


def test_a_plane_has_the_bands_of_its_file(tmp_path: Path) -> None:
    pytest.importorskip("xarray", reason="needs the extra 'netcdf'")
    optical(tmp_path, key())
    name = TileName("Sentinel2", "B8", key())
    write_tile(tmp_path / "sent2", name, np.ones((32, 32), np.uint16))
    file = tmp_path / "nc" / "some.nc"
    write_netcdf(tmp_path, file, "Sentinel2", ("B2", "B3", "B4", "B8", "QA60"))
    (scene,) = catalog(file).scenes
    found = neighbor(scene.files[0], "B8")
    assert isinstance(found, Plane) and (found.file, found.band) == (str(file), "B8")
    assert neighbor(scene.files[0], "B11") is None

"""The tiles of other bands, beside those that the catalogue lists."""

from pathlib import Path

import numpy as np
import pytest

from kit.tiles.bands import read_bands_and_type
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


@pytest.mark.usefixtures("trusted_netcdf")
def test_a_plane_has_the_bands_of_its_file_and_of_those_beside_it(tmp_path: Path) -> None:
    pytest.importorskip("xarray", reason="needs the extra 'netcdf'")
    folder = tmp_path / "nc"
    for place in range(3):
        optical(tmp_path, key(place))
        for number, band in enumerate(("B8", "B11"), start=1):
            pixels = np.full((32, 32), 100 * number + place, np.uint16)
            write_tile(tmp_path / "sent2", TileName("Sentinel2", band, key(place)), pixels)
    write_netcdf(tmp_path, folder / "one.nc", "Sentinel2", ("B2", "B3", "B4", "B8", "QA60"))
    for path in (tmp_path / "sent2").glob(f"*{key(0)}*"):
        path.unlink()  # the other file has fewer scenes, so that their indices differ
    write_netcdf(tmp_path, folder / "two.nc", "Sentinel2", ("B11", "QA60"))
    scenes = catalog(folder).scenes
    for place, scene in enumerate(scenes):
        nir, swir = (neighbor(scene.files[0], band) for band in ("B8", "B11"))
        assert isinstance(nir, Plane) and Path(nir.file).name == "one.nc"
        assert (swir is None) == (scene.key == key(0))
        if swir is not None:
            assert isinstance(swir, Plane) and Path(swir.file).name == "two.nc"
            found = read_bands_and_type("Sentinel2", [*scene.files[:3], nir, swir], 5)[0]
            assert found[4, 0, 0] - found[3, 0, 0] == 100, place
        assert neighbor(scene.files[0], "B12") is None

"""Official tiles as TIFFs -> the `.nc` files in which the challenge of 2023 holds them."""

from collections import defaultdict
from datetime import date
from pathlib import Path

import numpy as np
import rasterio

SENSORS = {"Sentinel1": ("VH", "VV"), "Sentinel2": ("B2", "B3", "B4", "QA60")}


def write_netcdf(
    tiles: Path, path: Path, sensor: str, bands: tuple[str, ...] | None = None
) -> None:
    """Write the complete scenes of a sensor as one file, with the axes of the official ones."""
    import xarray

    scenes: dict[tuple[str, ...], dict[str, Path]] = defaultdict(dict)
    for tile in sorted(tiles.rglob(f"{sensor}_*.tiff")):
        _, band, *scene = tile.stem.split("_")
        scenes[tuple(scene)][band] = tile
    bands = bands or SENSORS[sensor]
    scenes = {scene: files for scene, files in scenes.items() if files.keys() >= set(bands)}
    images = np.stack([[[_read(files[band])] for band in bands] for files in scenes.values()])
    days = [(date(*map(int, scene[2:])) - date(2019, 1, 1)).days for scene in scenes]
    data = xarray.Dataset(
        {
            "images": (("index", "data_band", "channel", "row", "col"), images),
            "collection_dates": ("index", days, {"units": "days since 2019-01-01"}),
            "center_lat_lons": (
                ("index", "geo_coord"),
                [(float(lat), float(lon)) for lon, lat, *_ in scenes],
            ),
        },
        coords={"data_band": list(bands), "geo_coord": ["lat", "lon"]},
        attrs={"data_source": sensor.replace("Sentinel", "Sentinel-"), "image_gsd": 10},
    )
    path.parent.mkdir(exist_ok=True)
    chunks = (1, *images.shape[1:])
    encoding = {"images": {"zlib": True, "shuffle": True, "chunksizes": chunks}}
    data.to_netcdf(path, engine="h5netcdf", encoding=encoding)


def _read(tile: Path) -> np.ndarray:
    with rasterio.open(tile) as image:
        return image.read(1)

"""How much ground a tile shows, by its own transform, in whatever projection that is.

In: a grid and its size. Out: metres, or the side of a square in pixels of 10 m, as official tiles
have them, which say nothing of their place.
"""

from collections.abc import Iterable

import numpy as np
from rasterio.warp import transform

from kit.errors import InputError
from kit.ground import side_in_pixels
from kit.tiles.bands import scene_grid, size_of
from kit.tiles.netcdf import File
from kit.tiles.raster import Grid

_METRES = 111_319.5  # along a degree of latitude, and of longitude on the equator


def extent_of(grid: Grid, height: int, width: int) -> float:
    """Metres from the west to the east or from the south to the north of a grid, the larger."""
    x, y = grid.at(np.array([0, width, width, 0]), np.array([0, 0, height, height]))
    lon, lat = (np.array(each) for each in transform(grid.crs, "EPSG:4326", x, y)[:2])
    east = np.ptp((lon - lon[0] + 180) % 360 - 180) * np.cos(np.radians(np.abs(lat).min()))
    return float(max(east, np.ptp(lat)) * _METRES)


def side_of(grid: Grid | None, height: int, width: int) -> int:
    """The side of the ground in pixels of 10 m, as which those without a projection count."""
    if grid is None or not grid.crs:
        return max(height, width)
    return side_in_pixels(extent_of(grid, height, width))


def first_side(files: Iterable[File], size: tuple[int, int] | None) -> int:
    """The side of the ground of the first tile of a size, as `side_of`; 0 if none can be read.

    Args:
        files: tiles.
        size: height and width of most of them, as `kit.tiles.bands.usual_size` has it.
    """
    for file in files:
        if size and size_of(file) == size:
            try:
                return side_of(scene_grid([file]), *size)
            except InputError:
                continue
    return 0
